import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { LEVELS, SeriesForecaster } from '#core/forecasting'

const STEP = 60_000
const OPTIONS = { stepMs: STEP, horizon: 6, seasons: [24], historyPoints: 240 }
const wave = (t: number): number => 100 + 40 * Math.sin((2 * Math.PI * t) / 24) + ((t * 7919) % 13)

function fed(points: number): SeriesForecaster {
  const forecaster = new SeriesForecaster(OPTIONS)
  for (let t = 1; t <= points; t++) forecaster.observe(t * STEP, wave(t))
  return forecaster
}

test('an adopted model stands, also over later fits and a snapshot, and what was observed stays', () => {
  const forecaster = fed(200)
  const { points, coverage } = forecaster
  forecaster.adopt('seasonal-naive-24')
  expect(forecaster).toMatchObject({ modelName: 'seasonal-naive-24', points, coverage })
  for (let t = 201; t <= 300; t++) forecaster.observe(t * STEP, wave(t))
  expect(forecaster.modelName).toBe('seasonal-naive-24')
  const writer = new ByteWriter()
  forecaster.encode(writer)
  const restored = new SeriesForecaster(OPTIONS)
  restored.decode(new ByteReader(writer.take()))
  expect(restored).toMatchObject({ modelName: 'seasonal-naive-24', adopted: 'seasonal-naive-24' })
  const own = new Float64Array(6 * LEVELS)
  const other = new Float64Array(6 * LEVELS)
  forecaster.forecast(own)
  restored.forecast(other)
  expect(other).toEqual(own)
  restored.adopt('')
  for (let t = 301; t <= 348; t++) restored.observe(t * STEP, wave(t))
  expect(restored.adopted).toBe('')
})

test('a model that the history is too short for is adopted as soon as it suffices', () => {
  const forecaster = fed(20)
  forecaster.adopt('seasonal-naive-24')
  expect(forecaster.modelName).not.toBe('seasonal-naive-24')
  for (let t = 21; t <= 120; t++) forecaster.observe(t * STEP, wave(t))
  expect(forecaster.modelName).toBe('seasonal-naive-24')
})
