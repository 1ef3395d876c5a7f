import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { LEVELS, originsAt, SeriesForecaster } from '../../../pipelines/core/forecasting/index.ts'
import { ByteReader, ByteWriter } from '../../../pipelines/core/math/index.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

const STEP = 60_000
const OPTIONS = { stepMs: STEP, horizon: 6, seasons: [24], historyPoints: 240, refitEvery: 48 }

/** Daily (24 steps) traffic of about 1e6 bytes with noise. */
function traffic(t: number, random: { uniform(): number }): number {
  return 1e6 * (1.2 + Math.sin((2 * Math.PI * t) / 24)) * Math.exp(0.4 * (random.uniform() - 0.5))
}

function forecastOf(forecaster: SeriesForecaster): number[] {
  const out = new Float64Array(forecaster.options.horizon * LEVELS)
  forecaster.forecast(out)
  return [...out]
}

function bytesOf(forecaster: SeriesForecaster): string {
  const writer = new ByteWriter()
  forecaster.encode(writer)
  return Buffer.from(writer.view()).toString('base64')
}

function sound(quantiles: number[]): boolean {
  if (!quantiles.every(Number.isFinite)) return false
  for (let h = 0; h < quantiles.length / LEVELS; h++) {
    for (let level = 1; level < LEVELS; level++) {
      if ((quantiles[h * LEVELS + level] as number) < (quantiles[h * LEVELS + level - 1] as number))
        return false
    }
  }
  return true
}

describe('SeriesForecaster', () => {
  it('is finite and ascending after every value of any series', () => {
    const value = fc.oneof(
      fc.double({ min: 0, max: 100, noNaN: true }),
      fc.constantFrom(0, 5, 1e12, -1e12, 1e300, -3, NaN, Infinity),
    )
    fc.assert(
      fc.property(fc.array(value, { minLength: 1, maxLength: 120 }), fc.boolean(), (values, nonNegative) => {
        const forecaster = new SeriesForecaster({ ...OPTIONS, nonNegative })
        values.forEach((v, t) => {
          const outcome = forecaster.observe((t + 1) * STEP, v)
          expect(outcome === 'accepted').toBe(Number.isFinite(v) && !(nonNegative && v < 0))
          const quantiles = forecastOf(forecaster)
          expect(forecaster.points > 0 ? sound(quantiles) : quantiles.every(Number.isNaN)).toBe(true)
          expect(nonNegative && quantiles.some((q) => q < 0)).toBe(false)
        })
      }),
      { numRuns: 60 },
    )
  })

  it.each([
    ['constant', () => 7, 6.5, 7.5],
    ['all zero', () => 0, 0, 0.2],
    ['negative constant', () => -7, -7.6, -6.4],
  ])('stays near a %s series', (_, value, low, high) => {
    const forecaster = new SeriesForecaster(OPTIONS)
    for (let t = 1; t <= 300; t++) forecaster.observe(t * STEP, value())
    const quantiles = forecastOf(forecaster)
    expect(Math.min(...quantiles)).toBeGreaterThanOrEqual(low)
    expect(Math.max(...quantiles)).toBeLessThanOrEqual(high)
  })

  it('says little after 3 points, and nothing before the first', () => {
    const forecaster = new SeriesForecaster({ ...OPTIONS, nonNegative: true })
    expect(forecastOf(forecaster).every(Number.isNaN)).toBe(true)
    expect(forecaster.draws(Float64Array.of(0), 1, new Float64Array(1))).toBe(-1)
    for (let t = 1; t <= 3; t++) forecaster.observe(t * STEP, 100 + t)
    const [low, , median, , high] = forecastOf(forecaster) as [number, number, number, number, number]
    expect(median).toBeGreaterThan(50)
    expect(median).toBeLessThan(200)
    expect(high / low).toBeGreaterThan(5)
  })

  it('covers 95 % of a daily series, closely, and beats the last value', () => {
    const random = mulberry32(5)
    const forecaster = new SeriesForecaster({ ...OPTIONS, nonNegative: true })
    const values = Array.from({ length: 1200 }, (_, t) => traffic(t, random))
    let inside = 0
    let scored = 0
    let ours = 0
    let naive = 0
    values.forEach((value, t) => {
      forecaster.observe((t + 1) * STEP, value)
      const later = values[t + 6]
      if (t < 400 || later === undefined) return
      const at = 5 * LEVELS
      const quantiles = forecastOf(forecaster)
      if (later >= (quantiles[at] as number) && later <= (quantiles[at + 4] as number)) inside++
      ours += Math.abs(later - (quantiles[at + 2] as number))
      naive += Math.abs(later - value)
      scored++
    })
    expect(inside / scored).toBeGreaterThan(0.92)
    expect(inside / scored).toBeLessThan(0.985)
    expect(ours).toBeLessThan(0.35 * naive)
    expect(forecaster.modelName).toMatch(/-24/)
  })

  it('follows a series that turns negative within a day', () => {
    const forecaster = new SeriesForecaster(OPTIONS)
    for (let t = 1; t <= 100; t++) forecaster.observe(t * STEP, 10 + (t % 3))
    expect(Math.min(...forecastOf(forecaster))).toBeGreaterThanOrEqual(0)
    for (let t = 101; t <= 125; t++) forecaster.observe(t * STEP, -40 - (t % 3))
    expect(forecastOf(forecaster)[2]).toBeLessThan(-10)
  })

  it('recovers from one value of 1e12 within a day', () => {
    const random = mulberry32(9)
    const forecaster = new SeriesForecaster({ ...OPTIONS, nonNegative: true })
    for (let t = 0; t < 300; t++) forecaster.observe((t + 1) * STEP, t === 250 ? 1e12 : traffic(t, random))
    for (let h = 1; h <= 6; h++) {
      const median = forecastOf(forecaster)[(h - 1) * LEVELS + 2] as number
      const truth = 1e6 * (1.2 + Math.sin((2 * Math.PI * (299 + h)) / 24))
      expect(Math.abs(Math.log(median / truth))).toBeLessThan(0.5)
    }
  })

  it('names what it refuses, fills gaps, and starts anew after a gap longer than its memory', () => {
    const forecaster = new SeriesForecaster(OPTIONS)
    expect(forecaster.observe(10 * STEP, 5)).toBe('accepted')
    expect(forecaster.observe(10 * STEP, 6)).toBe('duplicate')
    expect(forecaster.observe(9 * STEP, 6)).toBe('backwards')
    expect(forecaster.observe(NaN, 6)).toBe('not-finite')
    expect(forecaster.observe(14 * STEP, 7)).toBe('accepted')
    expect(forecaster.lastMs).toBe(14 * STEP)
    expect(forecaster.points).toBe(2)
    expect(forecaster.observe(1e9 * STEP, 8)).toBe('restarted')
    expect(forecaster.points).toBe(1)
    expect(forecastOf(forecaster)[2]).toBeCloseTo(8, 5)
    for (let t = 1; t <= 300; t++) forecaster.observe((1e9 + t) * STEP, NaN)
    expect(forecastOf(forecaster).every(Number.isNaN)).toBe(true)
  })

  it('goes on after decode as if nothing had happened, at any point of its life', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 200 }), (cut, more) => {
        const random = mulberry32(cut)
        const forecaster = new SeriesForecaster(OPTIONS)
        for (let t = 0; t < cut; t++) forecaster.observe((t + 1) * STEP, traffic(t, random))
        const copy = new SeriesForecaster(OPTIONS)
        copy.decode(new ByteReader(Buffer.from(bytesOf(forecaster), 'base64')))
        for (let t = cut; t < cut + more; t++) {
          const value = traffic(t, random)
          forecaster.observe((t + 1) * STEP, value)
          copy.observe((t + 1) * STEP, value)
        }
        expect(forecastOf(copy)).toEqual(forecastOf(forecaster))
        expect(bytesOf(copy) === bytesOf(forecaster)).toBe(true)
      }),
      { numRuns: 15 },
    )
  })

  it('starts from a history as if it had observed it, with one fit', () => {
    const random = mulberry32(6)
    const values = Float64Array.from({ length: 500 }, (_, t) => traffic(t, random))
    const started = new SeriesForecaster({ ...OPTIONS, nonNegative: true })
    values[450] = NaN
    values[460] = -1
    started.start(values, 500 * STEP)
    expect(started.lastMs).toBe(500 * STEP)
    expect(started.points).toBe(238)
    expect(started.modelName).toMatch(/-24/)
    const median = forecastOf(started)[2] as number
    const truth = 1e6 * (1.2 + Math.sin((2 * Math.PI * 500) / 24))
    expect(Math.abs(Math.log(median / truth))).toBeLessThan(0.2)
    expect(started.observe(501 * STEP, traffic(500, random))).toBe('accepted')
    started.start([NaN], STEP)
    expect(forecastOf(started).every(Number.isNaN)).toBe(true)
  })

  it('keeps joint errors joint: draws of two series that err together rise together', () => {
    const random = mulberry32(2)
    const first = new SeriesForecaster(OPTIONS)
    const second = new SeriesForecaster(OPTIONS)
    for (let t = 1; t <= 480; t++) {
      const shared = Math.exp(random.uniform() - 0.5)
      first.observe(t * STEP, 100 * shared)
      second.observe(t * STEP, 5000 * shared)
    }
    const origins = originsAt(480 * STEP, STEP, 30, first.options.originGrid)
    expect(origins.length).toBe(30)
    const a = new Float64Array(30)
    const b = new Float64Array(30)
    expect(first.draws(origins, 1, a)).toBe(30)
    expect(second.draws(origins, 1, b)).toBe(30)
    a.forEach((value, k) => {
      expect(Math.abs(Math.log((b[k] as number) / value / 50))).toBeLessThan(0.15)
    })
    expect(Math.max(...a) / Math.min(...a)).toBeGreaterThan(1.8)
  })

  it('refuses options that cannot work', () => {
    for (const wrong of [{ horizon: 0 }, { stepMs: NaN }, { seasons: [1] }, { refitEvery: 0 }]) {
      expect(() => new SeriesForecaster({ ...OPTIONS, ...wrong })).toThrow(/forecaster: /)
    }
  })
})
