import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createModel, type ForecastModel } from '../../../pipelines/core/forecasting/index.ts'
import { ByteReader, ByteWriter } from '../../../pipelines/core/math/index.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

const NAMES = [
  'naive',
  'ses',
  'mean',
  'drift',
  'dotheta',
  'seasonal-naive-6',
  'sarima-6',
  'sarima-3-12',
  'blend-6',
  'bats-6',
  'bats-3-12',
  'ar-6',
  'ar-3-12',
  'dar-6',
  'dar-3-12',
  'dotheta-6',
  'panel-6',
  'panel-3-12',
  'panel-3-12.3a',
  'ets',
  'ets-6',
  'lin-ets-6',
  'lin-drift',
  'wide-1',
  'wide-6',
  'wide-6.41',
  'wide-3-12',
]

function ahead(model: ForecastModel, horizon: number): number[] {
  const out = new Float64Array(horizon)
  model.forecast(horizon, out)
  return [...out]
}

/** A day of 24 steps, repeated, with noise of standard deviation about 0.1 x 0.58. */
function daily(length: number, noise: number, seed = 1): Float64Array {
  const random = mulberry32(seed)
  return Float64Array.from(
    { length },
    (_, t) => Math.sin((2 * Math.PI * t) / 24) + noise * (2 * random.uniform() - 1),
  )
}

describe.each(NAMES)('%s', (name) => {
  const values = fc.array(fc.oneof(fc.double({ min: -30, max: 30, noNaN: true }), fc.constant(NaN)), {
    maxLength: 80,
  })

  it('is finite whatever it is fed, also without a fit', () => {
    fc.assert(
      fc.property(values, values, (history, more) => {
        const model = createModel(name)
        expect(ahead(model, 9).every(Number.isFinite)).toBe(true)
        model.fit(Float64Array.from(history))
        for (const value of more) model.update(value)
        expect(ahead(model, 9).every(Number.isFinite)).toBe(true)
        expect(ahead(model, 9)).toEqual(ahead(model, 9))
      }),
    )
  })

  it('goes on after decode as if nothing had happened', () => {
    const model = createModel(name)
    model.fit(daily(60, 0.1))
    const writer = new ByteWriter()
    model.encode(writer)
    const copy = createModel(name)
    copy.decode(new ByteReader(writer.take()))
    for (const value of [0.3, NaN, -0.2, 0.9]) {
      expect(ahead(copy, 8)).toEqual(ahead(model, 8))
      copy.update(value)
      model.update(value)
    }
    expect(writer.length).toBeLessThan(model.memoryBytes + 40)
  })
})

describe('models', () => {
  it('forecast what they are named after', () => {
    const history = Float64Array.of(1, 2, 3, 4, 5, 9)
    const of = (name: string) => {
      const model = createModel(name)
      model.fit(history)
      return ahead(model, 3)
    }
    expect(of('naive')).toEqual([9, 9, 9])
    expect(of('mean')).toEqual([4, 4, 4])
    expect(of('seasonal-naive-3')).toEqual([4, 5, 9])
    expect(of('drift')[0]).toBeCloseTo(9 + 1.6 * 0.5 ** (1 / 8), 10)
  })

  it('SARIMA finds a daily shape in noise that seasonal naive repeats', () => {
    const values = daily(24 * 20, 0.5)
    const truth = daily(24 * 20 + 24, 0).subarray(24 * 20)
    const errorOf = (name: string) => {
      const model = createModel(name)
      model.fit(values)
      return ahead(model, 24).reduce((sum, value, h) => sum + Math.abs(value - (truth[h] as number)), 0) / 24
    }
    expect(errorOf('sarima-24')).toBeLessThan(0.6 * errorOf('seasonal-naive-24'))
    expect(errorOf('sarima-24')).toBeLessThan(0.2)
  })

  it('SARIMA fills gaps with the season', () => {
    const values = daily(24 * 10, 0.02)
    for (let t = 100; t < 140; t++) values[t] = NaN
    const model = createModel('sarima-24')
    model.fit(values)
    for (let gap = 0; gap < 12; gap++) model.update(NaN)
    const truth = daily(24 * 11, 0)
    expect(Math.abs((ahead(model, 1)[0] as number) - (truth[252] as number))).toBeLessThan(0.15)
  })

  it('refuses a name it does not know', () => {
    for (const name of ['prophet', 'sarima', 'sarima-1', 'sarima-x']) {
      expect(() => createModel(name)).toThrow(RangeError)
    }
  })
})
