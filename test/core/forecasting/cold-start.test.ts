import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEVELS, SeriesForecaster } from '../../../pipelines/core/forecasting/index.ts'
import { beyondRange, nextEarlyFit, stepSpread } from '../../../pipelines/core/forecasting/cold-start.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

const STEP = 1000
const HORIZON = 12

/** The last forecast of a series that was observed value by value. */
function told(values: readonly number[], nonNegative = true): Float64Array {
  const forecaster = new SeriesForecaster({ stepMs: STEP, horizon: HORIZON, seasons: [60], nonNegative })
  values.forEach((value, t) => forecaster.observe(t * STEP, value))
  const out = new Float64Array(HORIZON * LEVELS)
  forecaster.forecast(out)
  return out
}

describe('stepSpread', () => {
  it('is the prior for one value, and comes down with quiet ones', () => {
    expect(stepSpread([5], 1)).toBe(1)
    expect(stepSpread([5, 5, 5, 5], 1)).toBe(0.5)
    expect(stepSpread([0, 9, 0, 9], 1)).toBe(1)
    expect(stepSpread([5, NaN, 5], 1)).toBe(1)
  })
})

it('a young series is fitted at 2, 3, 5, 8, 12 values and then at every doubling', () => {
  const plan = [2, 3, 5, 8, 12, 24].map((values) => nextEarlyFit(values, values))
  expect(plan).toEqual([3, 5, 8, 12, 24, 48])
  expect(nextEarlyFit(2, 1)).toBe(2)
  expect(nextEarlyFit(2, 100)).toBe(192)
})

it('the room beyond a range shrinks with what is known', () => {
  expect(beyondRange(0, 1, 1)).toBe(4)
  expect(beyondRange(0.2, 40, 1)).toBeCloseTo(0.4)
})

describe('a cold start', () => {
  it('stays within a few times what was seen, and never below zero', () => {
    const value = fc.double({ min: 50, max: 200, noNaN: true })
    const cases = fc.property(fc.array(value, { minLength: 1, maxLength: 60 }), (values) => {
      const out = told(values)
      expect(Math.min(...out)).toBeGreaterThanOrEqual(0)
      // One value has 33.6; a flat start with a jump at its end, which looks like a trend, 42 at most as far as was found.
      expect(Math.max(...out)).toBeLessThanOrEqual(60 * Math.max(...values))
    })
    fc.assert(cases, { numRuns: 60 })
  })

  it('with a dozen quiet values is a few times as wide as they were, not hundreds of times', () => {
    const random = mulberry32(4)
    const values = Array.from({ length: 12 }, () => 100 + 10 * (random.uniform() - 0.5))
    const out = told(values)
    const last = (HORIZON - 1) * LEVELS
    expect(out[last + 4]).toBeLessThan(220)
    expect(out[last]).toBeGreaterThan(40)
  })

  it('keeps its promise on walks of all sizes: 95 % of what comes within a dozen steps is inside', () => {
    const random = mulberry32(9)
    let inside = 0
    let outcomes = 0
    for (let series = 0; series < 150; series++) {
      const size = 0.02 + 0.3 * random.uniform()
      const points = 3 + Math.floor(20 * random.uniform())
      let level = Math.log(100)
      const values = Array.from({ length: points + HORIZON }, () => {
        level += size * (random.uniform() + random.uniform() + random.uniform() - 1.5) * 2
        return Math.exp(level)
      })
      const out = told(values.slice(0, points))
      for (const h of [1, 4, 12]) {
        const y = values[points + h - 1] as number
        outcomes++
        if (y >= (out[(h - 1) * LEVELS] as number) && y <= (out[(h - 1) * LEVELS + 4] as number)) inside++
      }
    }
    expect(inside / outcomes).toBeGreaterThan(0.9)
    expect(inside / outcomes).toBeLessThan(0.995)
  })
})

it('a series of two days is forecast by the day before, not by its last value', () => {
  const random = mulberry32(8)
  const day = (t: number) => 8 * (1 - 0.5 * Math.cos((2 * Math.PI * t) / 60))
  const values = Array.from({ length: 121 }, (_, t) => day(t) * Math.exp(0.1 * (random.uniform() - 0.5)))
  const out = told(values)
  const last = values.at(-1) ?? 0
  for (let h = 6; h <= HORIZON; h++) {
    const median = out[LEVELS * (h - 1) + 2] ?? 0
    expect(Math.abs(median - day(120 + h))).toBeLessThan(0.5 * Math.abs(last - day(120 + h)))
  }
})
