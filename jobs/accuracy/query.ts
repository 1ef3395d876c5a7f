import { TABLES } from '#schemas'
import type { Warehouse } from '#core/ports'

/** How good the forecasts of one series, horizon and model version were. */
export interface AccuracyRow {
  readonly subsystem: string
  readonly scope: string
  readonly entity: string
  readonly metric: string
  readonly model: string
  readonly model_version: string
  readonly horizon_ms: number
  readonly forecasts: number
  readonly from_ms: number
  readonly to_ms: number
  /** null where the series never changed, or no yardstick was issued. */
  readonly mase: number | null
  readonly seasonal_naive_mase: number | null
  readonly scaled_pinball: number | null
  readonly msis: number | null
  readonly coverage_95: number
}

/** What of the issued forecasts is looked at. */
export interface AccuracyQuery {
  /** Issued since, ms; 0: all. */
  readonly sinceMs: number
  /** 'version': one row per model version; 'series': versions of a series and horizon together, with the model that issued most. */
  readonly by: 'version' | 'series'
}

/**
 * The means of `forecast_accuracy` (schemas/views.ts), over the issues since a time. A view over the tables is exact under redelivery where a
 * running total is not: both tables replace what comes again, and a late or corrected window counts from the next question on.
 */
const accuracySql = (by: AccuracyQuery['by']): string => `
SELECT
  subsystem, scope, entity, metric,
  ${by === 'version' ? 'o.model AS model, o.model_version AS model_version' : 'topK(1)(o.model)[1] AS model, argMax(o.model_version, o.issued_at_ms) AS model_version'},
  horizon_ms,
  count() AS forecasts,
  toUnixTimestamp64Milli(min(issued_at_ms)) AS from_ms,
  toUnixTimestamp64Milli(max(issued_at_ms)) AS to_ms,
  avgIf(abs(error), scale > 0) / avgIf(scale, scale > 0) AS mase,
  avgIf(abs(seasonal_naive_error), scale > 0) / avgIf(scale, scale > 0) AS seasonal_naive_mase,
  avgIf(pinball, scale > 0) / avgIf(scale, scale > 0) AS scaled_pinball,
  avgIf(interval_score, scale > 0) / avgIf(scale, scale > 0) AS msis,
  avg(within_95) AS coverage_95
FROM forecast_outcomes AS o
WHERE issued_at_ms >= fromUnixTimestamp64Milli({since:Int64})
GROUP BY subsystem, scope, entity, metric, ${by === 'version' ? 'o.model, o.model_version, ' : ''}horizon_ms
ORDER BY subsystem, scope, entity, metric, horizon_ms, model_version`

/** Accuracy of what was issued, one row per series and horizon (and model version). */
export async function readAccuracy(
  warehouse: Pick<Warehouse, 'query'>,
  query: AccuracyQuery,
): Promise<AccuracyRow[]> {
  const rows = await warehouse.query<AccuracyRow>(accuracySql(query.by), { since: query.sinceMs })
  return rows.map((row) => ({
    ...row,
    mase: finite(row.mase),
    seasonal_naive_mase: finite(row.seasonal_naive_mase),
    scaled_pinball: finite(row.scaled_pinball),
    msis: finite(row.msis),
  }))
}

const NEWEST = TABLES.filter(({ record }) => record === 'Forecast')
  .map(({ name }) => `SELECT max(issued_at_ms) AS at FROM ${name}`)
  .join(' UNION ALL ')

/** When the newest forecast was issued, ms; 0 if there is none: a replay's time is not the clock's. */
export async function newestIssueMs(warehouse: Pick<Warehouse, 'query'>): Promise<number> {
  const [row] = await warehouse.query<{ at: number }>(
    `SELECT toUnixTimestamp64Milli(max(at)) AS at FROM (${NEWEST})`,
  )
  return row?.at ?? 0
}

const finite = (value: number | null): number | null =>
  value !== null && Number.isFinite(value) ? value : null

/** Forecasts below which a comparison with the seasonal naive is luck. */
const FEWEST = 30
/** Share by which a model must be worse for an alert: a tie is none. */
const MARGIN = 0.05

/** True if a model has been clearly worse than the seasonal naive on what it issued. */
export const isWorse = ({ forecasts, mase, seasonal_naive_mase: naive }: AccuracyRow): boolean =>
  forecasts >= FEWEST && mase !== null && naive !== null && mase > (1 + MARGIN) * naive
