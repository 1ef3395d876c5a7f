import type { Warehouse } from '#core/ports'
import { atMs, BOUNDED, METRIC, ms } from './bounds.ts'

/** Points of one line. */
const MAX_POINTS = 3000
const MAX_HORIZONS = 200

/** Forecasts in columns; `tMs` is what they were made for. */
export interface ForecastColumns {
  readonly tMs: number[]
  readonly q025: number[]
  readonly q50: number[]
  readonly q975: number[]
}

/** The answer of `/api/series`: one stream, bytes per second, times in ms. */
export interface SeriesAnswer {
  readonly stream: string
  readonly fromMs: number
  /** End of the last window; 0: none yet. */
  readonly toMs: number
  readonly stepMs: number
  /** Horizons that forecasts have. */
  readonly horizons: readonly number[]
  /** The horizon of `forecast`; 0: no forecast yet. */
  readonly horizonMs: number
  readonly actual: { readonly tMs: number[]; readonly value: number[] }
  /** What had been forecast `horizonMs` before each time. */
  readonly forecast: ForecastColumns
  /** The newest forecast at all its targets. */
  readonly outlook: ForecastColumns & { readonly issuedAtMs: number }
  readonly risk: { readonly tMs: number[]; readonly probability: number[] }
  /** The limit of the newest risk on bytes per second; null: none. */
  readonly limit: number | null
}

interface ForecastRow {
  readonly t: number
  readonly q025: number
  readonly q50: number
  readonly q975: number
}
interface Span {
  readonly stream: string
  readonly from: number
  readonly to: number
}

async function lastWindow(warehouse: Warehouse, stream: string): Promise<{ end: number; length: number }> {
  const rows = await warehouse.query<{ end: number; length: number }>(
    `SELECT ${ms('window_end_ms')} AS end, dateDiff('millisecond', window_start_ms, window_end_ms) AS length
    FROM features_streams WHERE stream = {stream:String}
    ORDER BY window_end_ms DESC, length LIMIT 1 ${BOUNDED}`,
    { stream },
  )
  return rows[0] ?? { end: 0, length: 0 }
}

const actuals = (warehouse: Warehouse, span: Span, length: number) =>
  warehouse.query<{ t: number; value: number }>(
    `SELECT ${ms('window_end_ms')} AS t, bytes_per_second AS value FROM features_streams FINAL
    WHERE stream = {stream:String} AND window_end_ms > ${atMs('from')} AND window_end_ms <= ${atMs('to')}
      AND dateDiff('millisecond', window_start_ms, window_end_ms) = {length:Int64}
    ORDER BY t DESC LIMIT {limit:UInt32} ${BOUNDED}`,
    { ...span, length, limit: MAX_POINTS },
  )

/** Horizons and time of the newest issue. */
const newestIssue = (warehouse: Warehouse, stream: string) =>
  warehouse.query<{ issued: number; horizon: number }>(
    `SELECT ${ms('issued_at_ms')} AS issued, horizon_ms AS horizon FROM forecasts_traffic FINAL
    WHERE entity = {stream:String} AND metric = {metric:String} AND issued_at_ms = (
      SELECT max(issued_at_ms) FROM forecasts_traffic
      WHERE entity = {stream:String} AND metric = {metric:String}
    )
    ORDER BY horizon LIMIT {limit:UInt32} ${BOUNDED}`,
    { stream, metric: METRIC, limit: MAX_HORIZONS },
  )

const FORECAST_OF = `
  FROM forecasts_traffic FINAL WHERE entity = {stream:String} AND metric = {metric:String}`

const madeBefore = (warehouse: Warehouse, span: Span, horizon: number) =>
  warehouse.query<ForecastRow>(
    `SELECT ${ms('target_ms')} AS t, q025, q50, q975 ${FORECAST_OF}
      AND target_ms > ${atMs('from')} AND issued_at_ms <= ${atMs('to')} AND horizon_ms = {horizon:Int64}
    ORDER BY t DESC LIMIT {limit:UInt32} ${BOUNDED}`,
    { ...span, metric: METRIC, horizon, limit: MAX_POINTS },
  )

const madeAt = (warehouse: Warehouse, stream: string, issued: number) =>
  warehouse.query<ForecastRow>(
    `SELECT ${ms('target_ms')} AS t, q025, q50, q975 ${FORECAST_OF} AND issued_at_ms = ${atMs('issued')}
    ORDER BY t DESC LIMIT {limit:UInt32} ${BOUNDED}`,
    { stream, metric: METRIC, issued, limit: MAX_HORIZONS },
  )

const risks = (warehouse: Warehouse, span: Span) =>
  warehouse.query<{ t: number; p: number; limit: number | null }>(
    `SELECT ${ms('issued_at_ms')} AS t, max(probability) AS p,
      maxOrNullIf(\`limit\`, metric = {metric:String}) AS limit
    FROM risks_traffic FINAL
    WHERE entity = {stream:String} AND issued_at_ms > ${atMs('from')}
    GROUP BY t ORDER BY t DESC LIMIT {max:UInt32} ${BOUNDED}`,
    { ...span, metric: METRIC, max: MAX_POINTS },
  )

/** The horizon nearest to the one wanted; by default the one in the middle. 0 if there is none. */
export function chooseHorizon(horizons: readonly number[], wanted?: number): number {
  if (wanted === undefined) return horizons[(horizons.length - 1) >> 1] ?? 0
  let best = horizons[0] ?? 0
  for (const it of horizons) if (Math.abs(it - wanted) < Math.abs(best - wanted)) best = it
  return best
}

/** What a stream did, what had been forecast for it, and its risk over time. */
export async function readSeries(
  warehouse: Warehouse,
  { stream, spanMs, horizonMs }: { stream: string; spanMs: number; horizonMs?: number | undefined },
): Promise<SeriesAnswer> {
  const [{ end, length }, issue] = await Promise.all([
    lastWindow(warehouse, stream),
    newestIssue(warehouse, stream),
  ])
  const horizons = [...new Set(issue.map((row) => row.horizon))]
  const horizon = chooseHorizon(horizons, horizonMs)
  const issuedAtMs = issue[0]?.issued ?? 0
  const span = { stream, from: end - spanMs, to: end }
  const [actual, forecast, outlook, risk] = await Promise.all([
    actuals(warehouse, span, length),
    madeBefore(warehouse, span, horizon),
    madeAt(warehouse, stream, issuedAtMs),
    risks(warehouse, span),
  ])
  return {
    stream,
    fromMs: span.from,
    toMs: end,
    stepMs: length,
    horizons,
    horizonMs: horizon,
    actual: column(actual, { tMs: 't', value: 'value' }),
    forecast: forecastColumns(forecast),
    outlook: { ...forecastColumns(outlook), issuedAtMs },
    risk: column(risk, { tMs: 't', probability: 'p' }),
    limit: risk[0]?.limit ?? null,
  }
}

const forecastColumns = (rows: readonly ForecastRow[]): ForecastColumns =>
  column(rows, { tMs: 't', q025: 'q025', q50: 'q50', q975: 'q975' })

/** Rows, newest first, as columns, oldest first. */
function column<Row, Names extends Record<string, keyof Row>>(
  rows: readonly Row[],
  names: Names,
): { [Name in keyof Names]: number[] } {
  const ordered = rows.toReversed()
  const columns = Object.entries(names).map(([name, key]) => [name, ordered.map((row) => row[key])])
  return Object.fromEntries(columns) as { [Name in keyof Names]: number[] }
}
