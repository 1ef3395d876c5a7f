import type { Warehouse } from '#core/ports'
import type { Sample } from '#infra/observability'
import { type AccuracyRow, isWorse, newestIssueMs, readAccuracy } from './accuracy/query.ts'
import { gauge } from './metrics-samples.ts'

/** The question reads a day of forecasts and what happened: asked no more often. */
const EVERY_MS = 300_000
const DAY_MS = 86_400_000

/** Accuracy by subsystem and horizon, all series together: as many samples as there are horizons. */
export function accuracySamples(rows: readonly AccuracyRow[]): Sample[] {
  const groups = Map.groupBy(rows, ({ subsystem, horizon_ms: ms }) => `${subsystem} ${ms}`)
  return [...groups.values()].flatMap((own) => {
    const [first] = own
    if (first === undefined) return []
    const labels = { subsystem: first.subsystem, horizon_seconds: String(first.horizon_ms / 1000) }
    const forecasts = own.reduce((sum, row) => sum + row.forecasts, 0)
    const compared = own.filter(({ mase, seasonal_naive_mase: naive }) => mase !== null && naive !== null)
    const mean = (of: (row: AccuracyRow) => number | null): number =>
      compared.reduce((sum, row) => sum + (of(row) ?? 0), 0) / compared.length
    const covered = own.reduce((sum, row) => sum + row.forecasts * row.coverage_95, 0) / forecasts
    return [
      gauge('forecasts_scored', 'Forecasts of the last day that can be scored.', labels, forecasts),
      gauge(
        'forecast_mase',
        'Mean over series of the absolute error over their scale.',
        labels,
        mean((r) => r.mase),
      ),
      gauge(
        'forecast_seasonal_naive_mase',
        'The same of the seasonal naive.',
        labels,
        mean((r) => r.seasonal_naive_mase),
      ),
      gauge('forecast_coverage_95_ratio', 'Share of outcomes inside the 95 % interval.', labels, covered),
      gauge('forecast_series', 'Series with forecasts that can be scored.', labels, own.length),
      gauge(
        'forecast_series_worse',
        'Series whose model is clearly worse than the seasonal naive.',
        labels,
        own.filter(isWorse).length,
      ),
    ]
  })
}

/**
 * Accuracy of what was issued in the last day, up to the newest issue. A scrape never waits for it: it gets what was
 * found last, and none until there is some.
 */
export function createAccuracy(
  warehouse: Pick<Warehouse, 'query'>,
  onWarning: (error: Error) => void,
  nowMs: () => number = () => performance.now(),
): () => Sample[] {
  let askedMs = Number.NEGATIVE_INFINITY
  let last: Sample[] = []
  async function ask(): Promise<void> {
    const newest = await newestIssueMs(warehouse)
    last = accuracySamples(await readAccuracy(warehouse, { sinceMs: newest - DAY_MS, by: 'series' }))
  }
  return () => {
    if (nowMs() - askedMs >= EVERY_MS) {
      askedMs = nowMs()
      ask().catch(onWarning)
    }
    return last
  }
}
