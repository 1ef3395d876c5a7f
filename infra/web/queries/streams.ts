import type { Warehouse } from '#core/ports'
import { atMs, BOUNDED, METRIC, ms } from './bounds.ts'
import { newestMs } from './newest.ts'
import { standingRoutes } from './standing.ts'

/** Streams listed: those at most risk first, then the largest. */
const MAX_STREAMS = 200
const SPARK_POINTS = 48
/** How far before the newest row of a table something still counts as current. */
const RECENT_MS = 6 * 3_600_000

interface FeatureRow {
  readonly stream: string
  readonly windows: number
  /** `[window end in ms, bytes per second]`, oldest first. */
  readonly points: [number, number][]
}
interface ForecastRow {
  readonly stream: string
  readonly issuedAtMs: number
  readonly targetMs: number
  readonly horizonMs: number
  readonly q10: number
  readonly q50: number
  readonly q90: number
  readonly model: string
}
interface RiskRow {
  readonly stream: string
  readonly metric: string
  readonly issuedAtMs: number
  readonly horizonMs: number
  readonly probability: number
  readonly limit: number
  readonly anomalyScore: number
  readonly drivers: readonly string[]
}

/** One line of the list of streams; null: nothing issued yet. */
export interface StreamSummary {
  readonly stream: string
  /** End of its last window. */
  readonly atMs: number
  readonly bytesPerSecond: number
  /** Windows seen, at most those of the last six hours. */
  readonly windows: number
  /** Bytes per second of the last windows, oldest first. */
  readonly spark: readonly number[]
  /** The worst target of the newest forecast: the one with the highest q90. */
  readonly forecast: Omit<ForecastRow, 'stream'> | null
  /** The highest of the newest risks. */
  readonly risk: Omit<RiskRow, 'stream'> | null
  /** Share of the stream per region by the standing route, largest first. */
  readonly regions: readonly { readonly region: string; readonly weight: number }[]
  /** Region whose processor owns the state; '' if none. */
  readonly owner: string
}

/** The answer of `/api/streams`. */
export interface StreamList {
  /** End of the newest window; 0 if none has closed. */
  readonly newestMs: number
  readonly total: number
  readonly streams: readonly StreamSummary[]
}

/** Windows of the last hours; the shortest length where a stream has windows of several. */
const WINDOWS = `
  SELECT stream, window_end_ms, bytes_per_second,
    dateDiff('millisecond', window_start_ms, window_end_ms) AS length
  FROM features_streams FINAL
  WHERE window_start_ms >= ${atMs('from')}`

const NEWEST_RISK = `
  SELECT entity AS stream, metric, ${ms('issued_at_ms')} AS issuedAtMs, horizon_ms AS horizonMs, probability,
    \`limit\`, anomaly_score AS anomalyScore, drivers
  FROM risks_traffic FINAL
  WHERE issued_at_ms >= ${atMs('riskFrom')}
  ORDER BY issued_at_ms DESC, probability DESC
  LIMIT 1 BY stream`

/** Names, worst first. The window function counts before the limit. */
const ranked = (warehouse: Warehouse, from: number, riskFrom: number) =>
  warehouse.query<{ stream: string; total: number }>(
    `SELECT stream, count() OVER () AS total
    FROM (
      SELECT stream, argMax(bytes_per_second, window_end_ms) AS size
      FROM (${WINDOWS}) GROUP BY stream
    ) AS f
    LEFT JOIN (SELECT stream, probability FROM (${NEWEST_RISK})) AS r USING (stream)
    ORDER BY r.probability DESC, size DESC, stream
    LIMIT {limit:UInt32} ${BOUNDED}`,
    { from, riskFrom, limit: MAX_STREAMS },
  )

const features = (warehouse: Warehouse, from: number, streams: readonly string[]) =>
  warehouse.query<FeatureRow>(
    `SELECT stream, any(n) AS windows,
      arraySort(groupArray((${ms('window_end_ms')}, bytes_per_second))) AS points
    FROM (
      SELECT *, count() OVER (PARTITION BY stream) AS n
      FROM (SELECT *, min(length) OVER (PARTITION BY stream) AS shortest
        FROM (${WINDOWS} AND stream IN {streams:Array(String)}))
      WHERE length = shortest
      ORDER BY stream, window_end_ms DESC
      LIMIT {points:UInt32} BY stream
    )
    GROUP BY stream LIMIT {limit:UInt32} ${BOUNDED}`,
    { from, streams, points: SPARK_POINTS, limit: MAX_STREAMS },
  )

const forecasts = (warehouse: Warehouse, from: number, streams: readonly string[]) =>
  warehouse.query<ForecastRow>(
    `SELECT entity AS stream, ${ms('issued_at_ms')} AS issuedAtMs, ${ms('target_ms')} AS targetMs,
      horizon_ms AS horizonMs, q10, q50, q90, model
    FROM forecasts_traffic FINAL
    WHERE metric = {metric:String} AND entity IN {streams:Array(String)} AND issued_at_ms >= ${atMs('from')}
    ORDER BY issued_at_ms DESC, q90 DESC
    LIMIT 1 BY stream LIMIT {limit:UInt32} ${BOUNDED}`,
    { metric: METRIC, from, streams, limit: MAX_STREAMS },
  )

const risks = (warehouse: Warehouse, riskFrom: number, streams: readonly string[]) =>
  warehouse.query<RiskRow>(
    `SELECT * FROM (${NEWEST_RISK}) WHERE stream IN {streams:Array(String)} LIMIT {limit:UInt32} ${BOUNDED}`,
    { riskFrom, streams, limit: MAX_STREAMS },
  )

/** Every stream as one line: what it does, what is forecast, how risky that is, where it goes. */
export async function listStreams(warehouse: Warehouse): Promise<StreamList> {
  const [newest, newestForecast, newestRisk] = await Promise.all([
    newestMs(warehouse, 'features_streams'),
    newestMs(warehouse, 'forecasts_traffic'),
    newestMs(warehouse, 'risks_traffic'),
  ])
  if (newest === 0) return { newestMs: 0, total: 0, streams: [] }
  const [from, riskFrom] = [newest - RECENT_MS, newestRisk - RECENT_MS]
  const names = await ranked(warehouse, from, riskFrom)
  const streams = names.map((row) => row.stream)
  const [featureRows, forecastRows, riskRows, routes] = await Promise.all([
    features(warehouse, from, streams),
    forecasts(warehouse, newestForecast - RECENT_MS, streams),
    risks(warehouse, riskFrom, streams),
    standingRoutes(warehouse, { limit: 10 * MAX_STREAMS }),
  ])
  const [featureOf, forecastOf, riskOf] = [byStream(featureRows), byStream(forecastRows), byStream(riskRows)]
  const routeOf = byStream(routes)
  const list = streams.flatMap((stream): StreamSummary[] => {
    const feature = featureOf.get(stream)
    const last = feature?.points.at(-1)
    if (feature === undefined || last === undefined) return []
    const route = routeOf.get(stream)?.body
    return [
      {
        stream,
        atMs: last[0],
        bytesPerSecond: last[1],
        windows: feature.windows,
        spark: feature.points.map((point) => point[1]),
        forecast: forecastOf.get(stream) ?? null,
        risk: riskOf.get(stream) ?? null,
        regions: regionShares(route?.paths ?? []),
        owner: route?.region_owner ?? '',
      },
    ]
  })
  return { newestMs: Math.max(0, ...list.map((it) => it.atMs)), total: names[0]?.total ?? 0, streams: list }
}

const byStream = <Row extends { readonly stream: string }>(rows: readonly Row[]): Map<string, Row> =>
  new Map(rows.map((row) => [row.stream, row]))

/** Weights of paths summed per region, largest first. */
export function regionShares(
  paths: readonly { readonly region: string; readonly weight: number }[],
): { region: string; weight: number }[] {
  const shares = new Map<string, number>()
  for (const { region, weight } of paths) shares.set(region, (shares.get(region) ?? 0) + weight)
  return [...shares]
    .map(([region, weight]) => ({ region, weight }))
    .toSorted((a, b) => b.weight - a.weight || a.region.localeCompare(b.region))
}
