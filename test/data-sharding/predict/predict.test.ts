import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { mulberry32 } from '#core/ports'
import {
  PatternRates,
  PooledForecaster,
  TotalForecaster,
} from '../../../pipelines/data-sharding/predict/index.ts'

const SHAPE = { segments: 6, day: 12, week: 84 }

/** A daily cycle by segment, with a little noise. */
function workAt(t: number, random = mulberry32(t + 1)): Float64Array {
  return Float64Array.from({ length: SHAPE.segments }, (_, s) => {
    const cycle = 1 + 0.8 * Math.sin((2 * Math.PI * (t + 2 * s)) / SHAPE.day)
    return Math.max(0, 20 * (s + 1) * cycle + 2 * random.uniform())
  })
}

describe('the pooled forecast', () => {
  const errorsOf = (forecast: (f: PooledForecaster, s: number) => number) => {
    const forecaster = new PooledForecaster(SHAPE, 2, () => null)
    let error = 0
    for (let t = 0; t < 240; t++) {
      if (t > 0) {
        const { mean } = forecaster.forecast()
        const came = workAt(t + 1)
        if (t > 180)
          for (let s = 0; s < SHAPE.segments; s++)
            error += Math.abs(came[s]! - (forecast(forecaster, s) || mean[s]!))
      }
      forecaster.observe(workAt(t))
    }
    return error
  }

  test('follows a daily cycle: far better than what came last', () => {
    expect(errorsOf(() => 0)).toBeLessThan(0.25 * errorsOf((f, s) => f.state.last[s]!))
  })

  test('goes on from a snapshot as if nothing had happened', () => {
    const straight = new PooledForecaster(SHAPE, 2, () => null)
    let broken = new PooledForecaster(SHAPE, 2, () => null)
    for (let t = 0; t < 60; t++) {
      const a = straight.forecast()
      const b = broken.forecast()
      expect(b.mean).toEqual(a.mean)
      expect(b.deviation).toEqual(a.deviation)
      straight.observe(workAt(t))
      broken.observe(workAt(t))
      if (t % 17 !== 16) continue
      const out = new ByteWriter()
      broken.encode(out)
      broken = new PooledForecaster(SHAPE, 2, () => null)
      broken.decode(new ByteReader(out.take()))
    }
  })

  test('expects announced work once it has learnt what it brings', () => {
    const calendar = (step: number) =>
      step % 12 === 5 ? new Float64Array(SHAPE.segments).fill(10).fill(0, 1) : null
    const forecaster = new PooledForecaster(SHAPE, 2, calendar)
    let announced = 0
    for (let t = 0; t < 240; t++) {
      if (t > 0) {
        const { mean } = forecaster.forecast()
        if (t === 232) announced = mean[0]!
      }
      const flat = new Float64Array(SHAPE.segments).fill(20)
      if (calendar(t) !== null) flat[0] = 60
      forecaster.observe(flat)
    }
    // Step 233 is the sixth of its day.
    expect(announced).toBeGreaterThan(45)
  })
})

describe('the total', () => {
  test('has quantiles in order that hold about as often as they say', () => {
    const random = mulberry32(7)
    const total = (t: number) => 500 + 300 * Math.sin((2 * Math.PI * t) / 12) + 60 * (random.uniform() - 0.5)
    const forecaster = new TotalForecaster(12, 84, 3, () => 0)
    const pending: { q10: number; q90: number }[] = []
    let [below10, below90, scored] = [0, 0, 0]
    for (let t = 0; t < 700; t++) {
      const came = total(t)
      if (pending.length === 3) {
        const { q10, q90 } = pending.shift()!
        if (t > 300) {
          scored++
          if (came < q10) below10++
          if (came < q90) below90++
        }
      }
      forecaster.observe(came)
      const f = forecaster.forecast().at(-1)!
      expect(f.quantile(0.1)).toBeLessThanOrEqual(f.quantile(0.9))
      pending.push({ q10: f.quantile(0.1), q90: f.quantile(0.9) })
    }
    expect(below10 / scored).toBeLessThan(0.2)
    expect(below90 / scored).toBeGreaterThan(0.8)
  })
})

describe('query patterns', () => {
  const HOUR = 3_600_000
  const MONDAY = Date.UTC(2026, 0, 5)

  test('follow the hour of the day: likely at ten, unlikely at night', () => {
    const rates = new PatternRates(100)
    for (let h = 0; h < 24 * 14; h++)
      rates.observe(MONDAY + h * HOUR, new Map(h % 24 === 10 ? [['s|r|a', 6]] : []))
    const at = (hour: number) => rates.expect('s|r|a', MONDAY + (14 * 24 + hour) * HOUR, HOUR, 1, 1)
    expect(at(10).probability).toBeGreaterThan(2 * at(3).probability)
    expect(at(10).q90).toBeGreaterThanOrEqual(at(10).q50)
  })

  test('follow the day of the week', () => {
    const rates = new PatternRates(100)
    for (let d = 0; d < 70; d++)
      for (let h = 0; h < 24; h++)
        rates.observe(MONDAY + (d * 24 + h) * HOUR, new Map([['s|r|a', d % 7 >= 5 ? 1 : 10]]))
    const at = (day: number) => rates.expect('s|r|a', MONDAY + (70 + day) * 24 * HOUR, HOUR, 1, 1).expected
    expect(at(5)).toBeLessThan(0.75 * at(1))
  })

  test('keep at most the limit, the rarest forgotten, and come back from a snapshot', () => {
    const rates = new PatternRates(2)
    rates.observe(
      MONDAY,
      new Map([
        ['s|r|a', 9],
        ['s|r|b', 5],
        ['s|r|c', 1],
      ]),
    )
    expect([...rates.names()].sort()).toEqual(['s|r|a', 's|r|b'])
    const out = new ByteWriter()
    rates.encode(out)
    const again = new PatternRates(2)
    again.decode(new ByteReader(out.take()))
    expect(again.expect('s|r|a', MONDAY, HOUR, 2, 1)).toEqual(rates.expect('s|r|a', MONDAY, HOUR, 2, 1))
    expect(again.expect('unknown', MONDAY, HOUR, 2, 1).probability).toBe(0)
  })
})
