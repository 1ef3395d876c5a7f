import { describe, expect, it } from 'vitest'
import { createModel, SeriesForecaster } from '../../../pipelines/core/forecasting/index.ts'
import { classicalProfile } from '../../../pipelines/core/forecasting/classical.ts'
import { smoothSpread } from '../../../pipelines/core/forecasting/smooth-spread.ts'
import { LEVELS } from '../../../pipelines/core/math/index.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

const MONTHS = 84
const HORIZON = 12

/** Months that grow by 1 % each, with a season that multiplies and some noise. */
const sales = (t: number, noise: number): number =>
  200 * 1.01 ** t * (1 + 0.3 * Math.sin((2 * Math.PI * t) / 12)) * (1 + noise)

function forecastOf(wide: boolean): {
  readonly model: string
  readonly error: number
  readonly inside: number
} {
  const random = mulberry32(5)
  const values = Float64Array.from({ length: MONTHS }, (_, t) => sales(t, 0.04 * (random.uniform() - 0.5)))
  const forecaster = new SeriesForecaster({ stepMs: 1, horizon: HORIZON, seasons: [12], wide })
  forecaster.start(values, MONTHS)
  const out = new Float64Array(HORIZON * LEVELS)
  forecaster.forecast(out)
  let error = 0
  let inside = 0
  for (let h = 0; h < HORIZON; h++) {
    const truth = sales(MONTHS + h, 0)
    error += Math.abs((out[h * LEVELS + 2] as number) / truth - 1) / HORIZON
    if (truth >= (out[h * LEVELS] as number) && truth <= (out[h * LEVELS + 4] as number)) inside++
  }
  return { model: forecaster.modelName, error, inside }
}

describe('wide contests', () => {
  it('forecast months that grow, with a season, within 2 %, and better than without', () => {
    const wide = forecastOf(true)
    expect(wide.model).toMatch(/^wide-12/)
    expect(wide.error).toBeLessThan(0.02)
    expect(wide.error).toBeLessThan(forecastOf(false).error)
    expect(wide.inside).toBeGreaterThan(10)
  })

  it('leave a live forecaster as it is', () => {
    expect(forecastOf(false).model).not.toMatch(/^wide/)
  })
})

describe('exponential smoothing', () => {
  it('finds a straight trend and a season', () => {
    const model = createModel('ets-4')
    const shape = [3, -1, -4, 2]
    model.fit(Float64Array.from({ length: 40 }, (_, t) => 0.5 * t + (shape[t % 4] as number)))
    const out = new Float64Array(4)
    model.forecast(4, out)
    shape.forEach((season, h) => {
      expect((out[h] as number) - 0.5 * (40 + h)).toBeCloseTo(season, 0)
    })
  })
})

describe('classical decomposition', () => {
  it('does not take a trend for a season', () => {
    const profile = classicalProfile(
      Float64Array.from({ length: 36 }, (_, t) => 10 * t),
      12,
    )
    for (const value of profile) expect(value).toBeCloseTo(0, 9)
  })
})

describe('linear members', () => {
  it('see values again where a series is on the log scale', () => {
    const model = createModel('lin-ets')
    const spread = 0.5
    model.fit(
      Float64Array.from({ length: 30 }, (_, t) => Math.log(1 + 0.1 * t) / spread),
      spread,
    )
    const out = new Float64Array(5)
    model.forecast(5, out)
    expect(Math.exp(spread * (out[4] as number))).toBeCloseTo(1 + 0.1 * 34, 1)
  })
})

describe('spread of few errors', () => {
  it('grows as the errors do, also for steps that have none', () => {
    const horizon = 8
    const known = 4
    const errors = new Float32Array(60 * horizon).fill(NaN)
    for (let row = 0; row < 60; row++)
      for (let h = 0; h < known; h++) errors[row * horizon + h] = Math.sqrt(h + 1) * (row % 2 === 0 ? 1 : -1)
    const spread = smoothSpread({ errors, origins: 60, horizon, stride: 1 }, () => 20)
    for (let h = 0; h < horizon; h++)
      expect(Math.abs((spread[h] as number) / Math.sqrt(h + 1) - 1)).toBeLessThan(0.1)
  })
})
