import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createModel, LEVELS, SeriesForecaster } from '../../../pipelines/core/forecasting/index.ts'
import { fitScale } from '../../../pipelines/core/forecasting/scale.ts'

const CANDIDATES = [
  'naive',
  'ses',
  'mean',
  'drift',
  'dotheta',
  'seasonal-naive-24',
  'sarima-24',
  'sarima-24-168',
  'blend-24',
  'bats-24',
  'bats-24-168',
  'ar-24',
  'ar-24-168',
  'dar-24',
  'dar-24-168',
  'dotheta-24',
  'panel-24',
  'panel-24-168',
]

const wave = (t: number): number => 100 + 50 * Math.sin((2 * Math.PI * t) / 24)
const N = 400

/** Histories that operations really send, by what is wrong with them. */
const BAD: Readonly<Record<string, Float64Array>> = {
  empty: new Float64Array(0),
  'three points': Float64Array.of(1, 5, 2),
  constant: new Float64Array(N).fill(7),
  'all zero': new Float64Array(N),
  'one spike of 1e12': Float64Array.from({ length: N }, (_, t) => (t === 300 ? 1e12 : wave(t))),
  'spikes of 1e12 every day': Float64Array.from({ length: N }, (_, t) => (t % 24 === 5 ? 1e12 : wave(t))),
  negative: Float64Array.from({ length: N }, (_, t) => -wave(t)),
  'crossing zero': Float64Array.from({ length: N }, (_, t) => wave(t) - 100),
  'a long gap': Float64Array.from({ length: N }, (_, t) => (t > 100 && t < 350 ? NaN : wave(t))),
  'gaps at the start and the end': Float64Array.from({ length: N }, (_, t) =>
    t < 50 || t > 370 ? NaN : wave(t),
  ),
  'every second value missing': Float64Array.from({ length: N }, (_, t) => (t % 2 === 0 ? NaN : wave(t))),
  'nothing but gaps': new Float64Array(N).fill(NaN),
  'one value': Float64Array.from({ length: N }, (_, t) => (t === 200 ? 3 : NaN)),
  'growing without end': Float64Array.from({ length: N }, (_, t) => 1.05 ** t),
  tiny: Float64Array.from({ length: N }, (_, t) => 1e-300 * wave(t)),
  huge: Float64Array.from({ length: N }, (_, t) => 1e300 * wave(t)),
  alternating: Float64Array.from({ length: N }, (_, t) => (t % 2 === 0 ? 1e9 : -1e9)),
}

describe.each(CANDIDATES)('%s on bad input', (name) => {
  it.each(Object.entries(BAD))('%s: finite forecasts, before and after more values', (_, values) => {
    const scale = fitScale(values, 'auto')
    const model = createModel(name)
    const out = new Float64Array(200)
    model.fit(values.map((value) => scale.toModel(scale.warp(value))))
    model.forecast(200, out)
    expect(out.every(Number.isFinite)).toBe(true)
    for (const value of [NaN, 0, 1e12, -5, wave(3), NaN]) model.update(scale.toModel(scale.warp(value)))
    model.forecast(200, out)
    expect(out.every(Number.isFinite)).toBe(true)
    expect(out.every((value) => Number.isFinite(scale.unwarp(scale.fromModel(value))))).toBe(true)
  })
})

const OPTIONS = { stepMs: 3_600_000, horizon: 30, seasons: [24, 168], historyPoints: N }

describe('SeriesForecaster on bad input', () => {
  it.each(Object.entries(BAD))(
    '%s: quantiles finite and in order, or a plain "nothing known"',
    (_, values) => {
      const forecaster = new SeriesForecaster(OPTIONS)
      forecaster.start(values, N * OPTIONS.stepMs)
      const out = new Float64Array(30 * LEVELS)
      const isKnown = forecaster.forecast(out)
      expect(isKnown).toBe(values.some((value) => Number.isFinite(value)))
      if (!isKnown) return
      expect(out.every(Number.isFinite)).toBe(true)
      for (let at = 0; at < out.length; at += LEVELS) {
        const row = [...out.subarray(at, at + LEVELS)]
        expect(row).toEqual([...row].sort((a, b) => a - b))
      }
    },
  )

  it('a clock that jumps back and values twice change nothing; any other order of times stays finite', () => {
    const jump = fc.integer({ min: -40, max: 60 })
    const value = fc.oneof(fc.double(), fc.constantFrom(0, 1e12, -1e12, 5))
    fc.assert(
      fc.property(fc.array(fc.tuple(jump, value), { minLength: 1, maxLength: 120 }), (records) => {
        const forecaster = new SeriesForecaster(OPTIONS)
        let hour = 500
        let newest = -1
        for (const [step, y] of records) {
          hour = Math.max(0, hour + step)
          const before = forecaster.points
          const said = forecaster.observe(hour * OPTIONS.stepMs, y)
          const refusal = hour === newest ? 'duplicate' : hour < newest ? 'backwards' : ''
          expect(said === 'duplicate' || said === 'backwards' ? said : '').toBe(refusal)
          expect(refusal === '' || forecaster.points === before).toBe(true)
          newest = Math.max(newest, hour)
        }
        const out = new Float64Array(30 * LEVELS)
        expect(!forecaster.forecast(out) || out.every(Number.isFinite)).toBe(true)
      }),
      { numRuns: 40 },
    )
  })
})
