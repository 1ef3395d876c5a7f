import { assert, constantFrom, integer, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { mulberry32, type Random } from '#core/ports'
import { LEVELS, LiveCoverage, LiveForecaster, resolveOptions, SeriesForecaster } from '#core/forecasting'

const STEP = 60_000
const CHANGE = 800
/** After a sudden change of variance the promise is kept again from this many points on. */
const SETTLED = 240
const SCORED = 600
const OPTIONS = {
  stepMs: STEP,
  horizon: 12,
  seasons: [24],
  scale: 'linear' as const,
  refitEvery: 400,
  historyPoints: 240,
}

const normal = (random: Random): number =>
  Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform())

/** Whether each outcome one step ahead lay inside the interval as issued, from point 1 on. */
function outcomes(
  seed: number,
  factor: number,
  make: () => { step: (t: number, v: number, q: Float64Array) => void },
) {
  const random = mulberry32(seed)
  const quantiles = new Float64Array(OPTIONS.horizon * LEVELS)
  const forecaster = make()
  const inside: number[] = []
  for (let t = 1; t <= CHANGE + SETTLED + SCORED; t++) {
    const spread = t > CHANGE ? factor : 1
    const value = 100 + 10 * Math.sin((2 * Math.PI * t) / 24) + spread * normal(random)
    inside.push(value >= quantiles[0]! && value <= quantiles[4]! ? 1 : 0)
    forecaster.step(t, value, quantiles)
  }
  return inside
}

const share = (inside: readonly number[]): number => inside.reduce((a, b) => a + b, 0) / inside.length

const live = () => {
  const forecaster = new LiveForecaster(resolveOptions(OPTIONS), 'web')
  return {
    step: (t: number, value: number, quantiles: Float64Array) => {
      forecaster.observe(t * STEP, value, [])
      forecaster.forecast(quantiles, [])
    },
  }
}

describe('live coverage', () => {
  test(`under a sudden change of variance coverage is back at 93 to 97 % after ${SETTLED} points`, () => {
    assert(
      property(integer({ min: 1, max: 1e6 }), constantFrom(0.25, 0.5, 2, 4, 10), (seed, factor) => {
        // Four series together, so that the share itself is known to about 0.5 %.
        const settled = [0, 1, 2, 3].flatMap((i) => outcomes(seed + i, factor, live).slice(CHANGE + SETTLED))
        expect(share(settled)).toBeGreaterThan(0.93)
        expect(share(settled)).toBeLessThan(0.97 + 0.005)
      }),
      { numRuns: 8 },
    )
  })

  test('coverage comes back sooner than without the correction', () => {
    const bare = () => {
      const forecaster = new SeriesForecaster(OPTIONS)
      return {
        step: (t: number, value: number, quantiles: Float64Array) => {
          forecaster.observe(t * STEP, value)
          forecaster.forecast(quantiles)
        },
      }
    }
    const soon = (make: typeof live) =>
      share([1, 2, 3, 4, 5, 6].flatMap((seed) => outcomes(seed, 6, make).slice(CHANGE, CHANGE + 80)))
    expect(soon(live)).toBeGreaterThan(soon(bare) + 0.1)
  })

  test('goes on from a snapshot as if nothing had happened', () => {
    const quantiles = () => Float64Array.from({ length: 12 * LEVELS }, (_, i) => 100 + 5 * ((i % LEVELS) - 2))
    const run = (coverage: LiveCoverage, from: number, to: number): Float64Array => {
      const last = quantiles()
      for (let t = from; t < to; t++) {
        coverage.observe(t, t % 3 === 0 ? 200 : 100)
        coverage.issue(t, 0, (h, out) => out.set(quantiles().subarray((h - 1) * LEVELS, h * LEVELS)))
      }
      coverage.apply(last, 12, 0)
      return last
    }
    const straight = new LiveCoverage(12)
    run(straight, 0, 50)
    const writer = new ByteWriter()
    straight.encode(writer)
    const restored = new LiveCoverage(12)
    restored.decode(new ByteReader(writer.take()))
    expect(run(restored, 50, 90)).toEqual(run(straight, 50, 90))
    expect(restored.factor).toBeGreaterThan(1)
    expect(restored.coverage).toBe(straight.coverage)
  })
})
