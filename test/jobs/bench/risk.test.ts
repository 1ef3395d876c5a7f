import { expect, test } from 'vitest'
import { mulberry32 } from '#core/ports'
import type { RiskCase } from '../../../jobs/bench/risk-cases.ts'
import { figuresOf, replayCases } from '../../../jobs/bench/risk-score.ts'

const HOUR = 12

function cases(flipFrom: number): RiskCase[] {
  const random = mulberry32(3)
  return Array.from({ length: 600 }, (_, i) => {
    const raw = random.uniform()
    const crossed = random.uniform() < raw ** 2 !== i >= flipFrom
    const issuedAtMs = Math.floor(i / 3) * HOUR
    return {
      key: `k${i % 3}`,
      level: 0.9,
      risk: { issuedAtMs, horizonMs: HOUR, raw, limit: 1, side: 'above' },
      crossed: crossed ? 1 : 0,
      coming: Float64Array.from({ length: HOUR }, (_, step) => (crossed && step === 7 ? 2 : 0.5)),
    }
  })
}

test('what is said does not depend on what comes later', () => {
  const straight = replayCases(cases(600), 1, 0)
  const flipped = replayCases(cases(300), 1, 0)
  // The cases of one instant are asked before the outcome of any of them is known.
  expect(flipped.said.slice(0, 303)).toEqual(straight.said.slice(0, 303))
  expect(flipped.said.slice(303)).not.toEqual(straight.said.slice(303))
})

test('calibration mends probabilities that say too much', () => {
  const figures = figuresOf(replayCases(cases(600), 1, 100 * HOUR))
  expect(figures.cases).toBe(300)
  expect(figures.ece).toBeLessThan(figures.eceRaw)
  expect(figures.brier).toBeLessThan(figures.brierRaw)
  expect(figures.skill).toBeCloseTo(1 - figures.brier / figures.brierBase, 12)
})
