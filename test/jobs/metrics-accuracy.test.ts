import { expect, test } from 'vitest'
import type { Warehouse } from '#core/ports'
import { until } from '../support/until.ts'
import { accuracySamples, createAccuracy } from '../../jobs/metrics-accuracy.ts'
import type { AccuracyRow } from '../../jobs/accuracy/query.ts'

const row = (over: Partial<AccuracyRow>): AccuracyRow => ({
  subsystem: 'traffic',
  scope: 'default',
  entity: 'a',
  metric: 'm',
  model: 'x',
  model_version: '1',
  horizon_ms: 60_000,
  forecasts: 100,
  from_ms: 0,
  to_ms: 1,
  mase: 0.5,
  seasonal_naive_mase: 1,
  scaled_pinball: 1,
  msis: 1,
  coverage_95: 1,
  ...over,
})

test('series of a horizon are one sample each; those without a yardstick say nothing of the error', () => {
  const samples = accuracySamples([
    row({}),
    row({ entity: 'b', mase: 2, seasonal_naive_mase: 1.5, forecasts: 300, coverage_95: 0.9 }),
    row({ entity: 'c', mase: null, seasonal_naive_mase: null, forecasts: 100, coverage_95: 1 }),
    row({ horizon_ms: 600_000 }),
  ])
  const at = (horizon: string) =>
    Object.fromEntries(
      samples
        .filter(({ labels }) => labels['horizon_seconds'] === horizon)
        .map(({ name, value }) => [name.replace('forestall_', ''), value]),
    )
  expect(at('60')).toEqual({
    forecasts_scored: 500,
    forecast_mase: 1.25,
    forecast_seasonal_naive_mase: 1.25,
    forecast_coverage_95_ratio: expect.closeTo(0.94, 9),
    forecast_series: 3,
    forecast_series_worse: 1,
  })
  expect(at('600')).toMatchObject({ forecast_mase: 0.5, forecast_series: 1, forecast_series_worse: 0 })
})

test('a scrape does not wait for the warehouse, and asks it no more often than every five minutes', async () => {
  let nowMs = 0
  let asked = 0
  const since: unknown[] = []
  const warehouse: Pick<Warehouse, 'query'> = {
    async query<Row>(_: string, params?: Record<string, unknown>) {
      if (params === undefined) return [{ at: 100 * 86_400_000 }] as Row[]
      since.push(params['since'])
      if (++asked === 2) throw new Error('away')
      return [row({})] as Row[]
    },
  }
  const errors: Error[] = []
  const collect = createAccuracy(
    warehouse,
    (error) => void errors.push(error),
    () => nowMs,
  )
  expect(collect()).toEqual([])
  await until(() => collect().length > 0)
  nowMs = 299_999
  collect()
  expect(since).toEqual([99 * 86_400_000])
  nowMs = 300_000
  expect(collect().length).toBeGreaterThan(0)
  await until(() => errors.length === 1)
  // What was known stays.
  expect(collect().length).toBeGreaterThan(0)
})
