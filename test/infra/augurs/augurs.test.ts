import { describe, expect, it } from 'vitest'
import { createModel } from '#core/forecasting'
import { ByteReader, ByteWriter } from '#core/math'
import { mulberry32 } from '#core/ports'
import { augursCourses } from '#infra/augurs'

const courses = augursCourses()
const random = mulberry32(3)
const noise = Float64Array.from({ length: 600 }, () => 0.1 * (random.uniform() - 0.5))
const wave = (t: number) => Math.sin((2 * Math.PI * t) / 24) + 0.5 * Math.cos((2 * Math.PI * t) / 168)
const history = noise.map((e, t) => wave(t) + e)

describe.each(['mstl', 'prophet'] as const)('%s of augurs', (kind) => {
  it('is a candidate by name: finds both seasons, follows deviations, survives a snapshot', () => {
    const model = createModel(`${kind}-24-168`, { courses })
    model.fit(history)
    const out = new Float64Array(48)
    model.forecast(48, out)
    const error = out.reduce((sum, y, h) => sum + Math.abs(y - wave(600 + h)), 0) / 48
    expect(error).toBeLessThan(0.15)
    const writer = new ByteWriter()
    model.encode(writer)
    const copy = createModel(`${kind}-24-168`, { courses })
    copy.decode(new ByteReader(writer.take()))
    for (const value of [0.2, NaN, 1.4]) {
      model.update(value)
      copy.update(value)
    }
    const again = new Float64Array(48)
    model.forecast(48, out)
    copy.forecast(48, again)
    expect(again.map((y, h) => Math.abs(y - out[h]!)).every((gap) => gap < 1e-6)).toBe(true)
  })

  it.each([
    ['constant', new Float64Array(100).fill(3)],
    ['three points', Float64Array.of(1, 2, 3)],
    ['empty', new Float64Array(0)],
    ['gaps', history.map((y, t) => (t % 5 === 0 ? NaN : y))],
    ['nothing but gaps', new Float64Array(80).fill(NaN)],
    ['spikes', history.map((y, t) => (t % 50 === 0 ? 1e12 : y))],
  ])('%s: finite', (_, values) => {
    const model = createModel(`${kind}-24`, { courses })
    model.fit(values)
    const out = new Float64Array(700)
    model.forecast(700, out)
    expect(out.every(Number.isFinite)).toBe(true)
  })
})
