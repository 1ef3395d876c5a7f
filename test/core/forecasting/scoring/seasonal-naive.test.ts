import { assert, array, constant, double, integer, oneof, property } from 'fast-check'
import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { scoreSheet, SeasonalNaive } from '#core/forecasting'

/** The same from the whole past. */
function naively(values: readonly number[], season: number, h: number): number {
  const last = values.findLast((value) => !Number.isNaN(value)) ?? Number.NaN
  if (values.length < season) return last
  const value = values[values.length - season + ((h - 1) % season)] as number
  return Number.isNaN(value) ? last : value
}

test('says what the past says, one season before the target, also after a snapshot', () => {
  const value = oneof(integer({ min: -1000, max: 1000 }), constant(Number.NaN))
  assert(
    property(
      array(value, { minLength: 1, maxLength: 150 }),
      integer({ min: 1, max: 60 }),
      integer({ min: 1, max: 100 }),
      (values, season, h) => {
        let naive = new SeasonalNaive(season)
        values.forEach((v, i) => {
          naive.observe(v)
          if (i !== values.length >> 1) return
          const writer = new ByteWriter()
          naive.encode(writer)
          naive = new SeasonalNaive(season)
          naive.decode(new ByteReader(writer.take()))
        })
        expect(naive.forecast(h)).toBe(naively(values, season, h))
      },
    ),
  )
})

test('its scale is its mean absolute error in the past', () => {
  const naive = new SeasonalNaive(4)
  for (let t = 0; t < 100; t++) naive.observe((t % 4) * 10 + 3 * Math.floor(t / 4))
  expect(naive.scale).toBeCloseTo(3, 6)
  const constantSeries = new SeasonalNaive(4)
  for (let t = 0; t < 20; t++) constantSeries.observe(7)
  expect(constantSeries.scale).toBeNull()
})

test('scores are those of their definitions', () => {
  assert(
    property(double({ min: -100, max: 100, noNaN: true }), (y) => {
      const sheet = scoreSheet()
      sheet.add(Float64Array.from([-10, -5, 0, 5, 10, 12]), [y])
      const { mase, msis, coverage95, steps } = sheet.result(2)
      expect(steps).toBe(1)
      expect(mase).toBeCloseTo(Math.abs(y) / 2)
      expect(coverage95).toBe(Math.abs(y) <= 10 ? 1 : 0)
      expect(msis).toBeCloseTo((20 + 40 * Math.max(0, Math.abs(y) - 10)) / 2)
    }),
  )
  expect(scoreSheet().result(1)).toMatchObject({ steps: 0, mase: null, coverage95: null })
})
