import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { PAST_TERMS, PastHorizons } from '#core/risk'

const HOUR = 3_600_000

function termsOf(
  past: PastHorizons,
  hour: number,
  limit: number,
  side: 'above' | 'below' = 'above',
): number[] {
  const out = new Float64Array(PAST_TERMS)
  past.terms({ issuedAtMs: hour * HOUR, horizonMs: HOUR, limit, side }, 0.2, out)
  return [...out]
}

/** Hours from 1 on, each of two values: the worst and a tenth less. */
function filled(worst: readonly number[]): PastHorizons {
  const past = new PastHorizons()
  for (const [i, value] of worst.entries()) {
    past.observe(value)
    past.observe(0.9 * value)
    past.end((i + 1) * HOUR, HOUR, value)
  }
  return past
}

test('levels are told relative to the limit: on it is 0, beyond it above 0', () => {
  const past = filled([50, 120, 80, 100])
  const [last, worst, recent] = termsOf(past, 4, 100) as [number, number, number]
  expect(last).toBeCloseTo(2 * Math.log(95 / 105), 6)
  expect(worst).toBe(0)
  expect(recent).toBeCloseTo(2 * Math.log(125 / 105), 6)
})

test('below: the mirror image', () => {
  const past = filled([100, 70])
  expect(termsOf(past, 2, 80, 'below')[1]).toBeCloseTo(2 * Math.log(84 / 74), 5)
})

test('the same time on past days is that of the hour to come', () => {
  // Hour 10 of each of three days stands out.
  const past = filled(Array.from({ length: 72 }, (_, i) => ((i + 1) % 24 === 10 ? 100 : 50)))
  const level = (hour: number) => termsOf(past, hour, 100)[3]
  expect(level(72 + 9)).toBe(0)
  expect(level(72 + 8)).toBeLessThan(-1)
})

test('shares count the horizons that would have crossed this limit; a value on it has not', () => {
  const values = Array.from({ length: 72 }, (_, i) => (i >= 48 && i % 2 === 0 ? 10.1 : 1))
  const [day, days] = termsOf(filled(values), 72, 10).slice(5, 7) as [number, number]
  const term = (crossed: number, known: number) => {
    const share = (crossed + 0.3) / (known + 1)
    return Math.log(share / (1 - share)) / 2 + 1
  }
  expect(day).toBeCloseTo(term(12, 24), 12)
  expect(days).toBeCloseTo(term(12, 72), 12)
  expect(termsOf(filled(values), 72, 10.1)[5]).toBeCloseTo(term(0, 24), 12)
})

test('what is older than it keeps, or missing, is not known', () => {
  const past = filled(Array.from({ length: 300 }, () => 100))
  expect(termsOf(past, 300, 50)[6]).toBeGreaterThan(3)
  past.end(900 * HOUR, HOUR, Number.NaN)
  const terms = termsOf(past, 900, 50)
  expect(terms[5]).toBe(terms[6])
  expect(terms[6]).toBeLessThan(1)
})

test('horizons of another length than before start over', () => {
  const past = filled(Array.from({ length: 50 }, () => 100))
  past.end(52 * HOUR, 2 * HOUR, 10)
  expect(termsOf(past, 52, 50)[5]).toBeLessThan(1)
})

test('roughness: steady series have less than jumping ones', () => {
  const rough = termsOf(filled([100, 10, 100, 10]), 4, 100)[4] as number
  const steady = termsOf(filled([100, 100, 100, 100]), 4, 100)[4] as number
  expect(rough).toBeGreaterThan(steady + 0.5)
})

test('terms are finite and bounded whatever was observed, and survive a restart', () => {
  const values = fc.array(fc.double({}), { maxLength: 40 })
  const limits = fc.double({ noNaN: true, noDefaultInfinity: true })
  fc.assert(
    fc.property(values, limits, fc.constantFrom('above' as const, 'below' as const), (seen, limit, side) => {
      const past = new PastHorizons()
      for (const [i, value] of seen.entries()) {
        past.observe(value)
        if (i % 3 === 2) past.end(i * HOUR, HOUR, Number.isFinite(value) ? value : Number.NaN)
      }
      const terms = termsOf(past, seen.length, limit, side)
      for (const term of terms) expect(Math.abs(term)).toBeLessThan(6)
      const writer = new ByteWriter()
      past.encode(writer)
      const again = new PastHorizons()
      again.decode(new ByteReader(writer.view()))
      expect(termsOf(again, seen.length, limit, side)).toEqual(terms)
    }),
  )
})
