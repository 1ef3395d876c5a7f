import type { Warehouse } from '#core/ports'
import { DEMAND } from '#traffic-routing'

/** A series that is forecast live, and how. */
export interface SeriesToTrain {
  readonly scope: string
  readonly entity: string
  readonly metric: string
  /** Length of its windows. */
  readonly stepMs: number
  /** Steps ahead that are published at most. */
  readonly horizon: number
}

/** A series with its history on an even grid. */
export interface History {
  readonly series: SeriesToTrain
  /** Oldest first, NaN = unknown. */
  readonly values: Float64Array
  /** End of the last window, ms. */
  readonly lastMs: number
}

const SERIES = `
WITH (
  SELECT min(step) FROM (
    SELECT toUnixTimestamp64Milli(window_end_ms) - toUnixTimestamp64Milli(window_start_ms) AS step FROM features_streams
    UNION ALL
    SELECT toUnixTimestamp64Milli(window_end_ms) - toUnixTimestamp64Milli(window_start_ms) AS step FROM features_regions
  )
) AS step
SELECT scope, entity, metric, toInt64(step) AS stepMs, toInt64(intDiv(max(horizon_ms), step)) AS horizon
FROM forecasts_traffic
WHERE step > 0
GROUP BY scope, entity, metric
HAVING horizon > 0
ORDER BY scope, entity, metric`

/** Every series that has forecasts, in order of its name; the step is the length of the feature windows. */
export async function readSeries(warehouse: Warehouse): Promise<SeriesToTrain[]> {
  return warehouse.query<SeriesToTrain>(SERIES)
}

const HISTORIES = `
SELECT entity, metric, groupArray(at) AS times, groupArray(value) AS values
FROM (
  SELECT entity, metric, toUnixTimestamp64Milli(window_end_ms) AS at, value
  FROM observed_series
  WHERE entity IN {entities:Array(String)} AND metric IN {metrics:Array(String)}
    AND window_end_ms > fromUnixTimestamp64Milli({since:Int64})
  ORDER BY entity, metric, at
)
GROUP BY entity, metric`

/** Series that mean nothing happened where a window has no row. */
const ABSENT_IS_ZERO = new Set<string>([DEMAND])
/** Longest history of a series, steps: what the live forecaster would keep, and some more for its scores. */
const MOST_STEPS = 20_000

/** The histories of a few series since a time; those without a value are left out. */
export async function readHistories(
  warehouse: Warehouse,
  series: readonly SeriesToTrain[],
  sinceMs: number,
): Promise<History[]> {
  const rows = await warehouse.query<{
    entity: string
    metric: string
    times: number[]
    values: (number | null)[]
  }>(HISTORIES, {
    entities: [...new Set(series.map((s) => s.entity))],
    metrics: [...new Set(series.map((s) => s.metric))],
    since: sinceMs,
  })
  const found = new Map(rows.map((row) => [`${row.entity}\n${row.metric}`, row]))
  return series.flatMap((each) => {
    const row = found.get(`${each.entity}\n${each.metric}`)
    return row === undefined ? [] : [onGrid(each, row.times, row.values)]
  })
}

/** Windows that are not there become gaps, or zeros where that is what absence means. */
function onGrid(
  series: SeriesToTrain,
  times: readonly number[],
  values: readonly (number | null)[],
): History {
  const { stepMs, metric } = series
  const lastMs = times.at(-1) as number
  const steps = Math.min(MOST_STEPS, Math.round((lastMs - (times[0] as number)) / stepMs) + 1)
  const grid = new Float64Array(steps).fill(ABSENT_IS_ZERO.has(metric) ? 0 : Number.NaN)
  times.forEach((timeMs, i) => {
    const at = steps - 1 - Math.round((lastMs - timeMs) / stepMs)
    if (at >= 0) grid[at] = values[i] ?? Number.NaN
  })
  return { series, values: grid, lastMs }
}
