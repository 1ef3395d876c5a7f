import { describe, expect, it } from 'vitest'
import {
  createModel,
  type ForecastModel,
  SeriesForecaster,
} from '../../../pipelines/core/forecasting/index.ts'
import { medianOfRows, panel, panelMembers } from '../../../pipelines/core/forecasting/panel.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

function saying(name: string, value: number): ForecastModel {
  return {
    name,
    minPoints: 1,
    memoryBytes: 0,
    fit: () => {},
    update: () => {},
    forecast: (horizon, out) => {
      out.fill(value, 0, horizon)
    },
    encode: () => {},
    decode: () => {},
  }
}

function ahead(model: ForecastModel): number {
  const out = new Float64Array(1)
  model.forecast(1, out)
  return out[0] as number
}

describe('panel', () => {
  it('is the median of its votes; a model may have two', () => {
    const said: Record<string, number> = { a: 1, b: 2, c: 1e6 }
    const make = (name: string) => saying(name, said[name] as number)
    expect(ahead(panel('three', ['a', 'b', 'c'], make))).toBe(2)
    expect(ahead(panel('four', ['a', 'b', 'c', 'c'], make))).toBe((2 + 1e6) / 2)
  })

  it('takes medians step by step, of odd and even numbers', () => {
    const out = new Float64Array(2)
    medianOfRows(
      [
        [3, 1],
        [1, 5],
        [2, 9],
      ],
      2,
      out,
    )
    expect([...out]).toEqual([2, 5])
    medianOfRows(
      [
        [3, 1],
        [1, 5],
      ],
      2,
      out,
    )
    expect([...out]).toEqual([2, 3])
  })

  it('keeps only the members of its mask, and refuses an empty or unknown one', () => {
    expect(panelMembers([24, 168])[1]).toBe('sarima-168')
    const one = createModel('panel-24-168.2')
    expect(one.memoryBytes).toBe(createModel('sarima-168').memoryBytes)
    expect(() => createModel('panel-24-168.0')).toThrow(RangeError)
    expect(() => createModel('panel-24-168.fff')).toThrow(RangeError)
    expect(() => createModel('panel-168-24')).toThrow(RangeError)
  })

  it('is chosen for a series with a day and a week, and beats the same hour a week ago', () => {
    const random = mulberry32(5)
    const week = Float64Array.from(
      { length: 168 },
      (_, t) => 100 * (1.5 + Math.sin((2 * Math.PI * t) / 24)) * (t < 120 ? 1 : 0.5),
    )
    let noise = 0
    const values = Float64Array.from({ length: 168 * 6 + 48 }, (_, t) => {
      noise = 0.9 * noise + 0.1 * (random.uniform() - 0.5)
      return (week[t % 168] as number) * Math.exp(noise)
    })
    const end = 168 * 6
    const forecaster = new SeriesForecaster({ stepMs: 3_600_000, horizon: 48, seasons: [24, 168] })
    forecaster.start(values.subarray(0, end), end * 3_600_000)
    expect(forecaster.modelName).toMatch(/^panel-24-168\./)
    const out = new Float64Array(48 * 6)
    forecaster.forecast(out)
    const error = (of: (h: number) => number) =>
      Array.from({ length: 48 }, (_, h) => Math.abs((values[end + h] as number) - of(h))).reduce(
        (a, b) => a + b,
      )
    expect(error((h) => out[h * 6 + 2] as number)).toBeLessThan(error((h) => values[end - 168 + h] as number))
  })
})
