import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEVELS, SeriesForecaster } from '../../../pipelines/core/forecasting/index.ts'
import { widen } from '../../../pipelines/core/forecasting/conformal.ts'
import { dayTypeDoubt } from '../../../pipelines/core/forecasting/day-types.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
/** Midnight before a Monday. */
const MONDAY = Date.UTC(2026, 0, 5)

function doubts(firstMs: number, lastMs: number, horizon = 24): number[] {
  const held = (lastMs - firstMs) / HOUR
  return Array.from({ length: horizon }, (_, i) => dayTypeDoubt(lastMs, HOUR, held, i + 1))
}

describe('dayTypeDoubt', () => {
  it('grows over a weekend after working days only, with the root of the reach', () => {
    const found = doubts(MONDAY, MONDAY + 5 * DAY)
    expect(found[23]).toBeCloseTo(0.8)
    expect(found[5]).toBeCloseTo(0.4)
  })

  it('is small for one more working day, and smaller once half of the weekend is known', () => {
    const friday = doubts(MONDAY, MONDAY + 4 * DAY)
    expect(friday).toEqual(Array<number>(24).fill(0))
    const sunday = doubts(MONDAY, MONDAY + 6 * DAY)
    expect(sunday[23]).toBeCloseTo(0.4)
    const monday = doubts(MONDAY + DAY, MONDAY + 7 * DAY)
    expect(monday[23]).toBeCloseTo(0.8 / 5)
  })

  it('ends where the same day of the week before is known', () => {
    expect(doubts(MONDAY, MONDAY + 7 * DAY)).toEqual(Array<number>(24).fill(0))
    const found = doubts(MONDAY + DAY, MONDAY + 7 * DAY, 48)
    expect(found[23]).toBeGreaterThan(0)
    expect(found.slice(24)).toEqual(Array<number>(24).fill(0))
  })

  it('says nothing about steps of a day or longer', () => {
    expect(dayTypeDoubt(MONDAY, DAY, 5, 3)).toBe(0)
  })
})

it('widening keeps the median and the order, and never narrows', () => {
  const value = fc.double({ min: -1e6, max: 1e6, noNaN: true })
  fc.assert(
    fc.property(
      fc.array(value, { minLength: LEVELS, maxLength: LEVELS }),
      fc.double({ min: 0, max: 1e3, noNaN: true }),
      (values, spread) => {
        const before = Float64Array.from(values).sort()
        const after = before.slice()
        widen(after, 0, before[2] as number, spread)
        expect(after[2]).toBe(before[2])
        const slack = 1e-9 * (1 + Math.max(...before.map(Math.abs)))
        for (let level = 0; level < LEVELS; level++) {
          const out = (after[level] as number) - (before[level] as number)
          expect(level < 2 ? -out : out).toBeGreaterThanOrEqual(-slack)
        }
        const steps = [...after].slice(1).map((high, i) => high - (after[i] as number))
        expect(Math.min(...steps)).toBeGreaterThanOrEqual(-slack)
      },
    ),
  )
})

it('a forecast of Saturday from five working days is wider than that of Friday from four, and its medians stay', () => {
  const at = (t: number) => 100 + 40 * Math.sin((2 * Math.PI * t) / 24) + ((t * 7919) % 13)
  const told = (days: number): number[] => {
    const forecaster = new SeriesForecaster({ stepMs: HOUR, horizon: 24, seasons: [24], nonNegative: true })
    forecaster.start(
      Array.from({ length: 24 * 4 }, (_, t) => at(t)),
      MONDAY + days * DAY,
    )
    const out = new Float64Array(24 * LEVELS)
    forecaster.forecast(out)
    return [...out]
  }
  // The same values, once from Monday to Thursday, once from Tuesday to Friday.
  const [friday, saturday] = [told(4), told(5)]
  const width = (of: number[], h: number) => (of[h * LEVELS + 4] as number) - (of[h * LEVELS] as number)
  for (const h of [0, 11, 23]) {
    expect(saturday[h * LEVELS + 2]).toBe(friday[h * LEVELS + 2])
    expect(width(saturday, h)).toBeGreaterThan(width(friday, h))
  }
})
