import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import type { KnownEvent } from '#core/forecasting'

/** A series in time order as its source has it: rows, not resampled. */
export interface Series {
  readonly key: string
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

/** The part a model may see, and the part it is scored on. */
export interface Split {
  readonly key: string
  /** NaN = gap. */
  readonly train: Float64Array
  /** NaN = not scored. */
  readonly test: Float64Array
  /** End of the last training step, ms. */
  readonly lastMs: number
}

const HOUR = 3_600_000
const DAY = 24 * HOUR
const STEP_MS = 300_000

function csvRows(path: string): string[][] {
  const bytes = readFileSync(path)
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
  return text
    .split('\n')
    .slice(1)
    .filter((line) => line.length > 0)
    .map((line) => line.split(','))
}

function grouped(rows: Iterable<readonly [key: string, timeMs: number, value: number]>): Series[] {
  const byKey = new Map<string, [number, number][]>()
  for (const [key, timeMs, value] of rows) {
    const points = byKey.get(key)
    if (points) points.push([timeMs, value])
    else byKey.set(key, [[timeMs, value]])
  }
  return [...byKey].map(([key, points]) => {
    points.sort((a, b) => a[0] - b[0])
    return {
      key,
      timesMs: Float64Array.from(points, (point) => point[0]),
      values: Float64Array.from(points, (point) => point[1]),
    }
  })
}

/** The series of the Numenta set whose usual step is 5 minutes (30 of 38). `dataDir` holds `b_nab_cloud_metrics`. */
export function loadNab(dataDir: string): Series[] {
  const rows = csvRows(join(dataDir, 'b_nab_cloud_metrics', 'metrics.csv.gz'))
  const all = grouped(
    rows.map((row) => [`${row[1]}/${row[2]}`, Date.parse(`${row[0]}Z`), Number(row[3])] as const),
  )
  return all.filter(({ timesMs }) => {
    const steps = timesMs.slice(1).map((time, i) => time - (timesMs[i] as number))
    return steps.sort()[steps.length >> 1] === STEP_MS
  })
}

/** Traffic of the Abilene pairs in bytes per 5 minutes, self-pairs left out: 132 series of one week. */
export function loadAbilene(dataDir: string): Series[] {
  const rows = csvRows(join(dataDir, 'a_abilene_tm_week1', 'od_traffic.csv.gz'))
  return grouped(
    rows
      .filter((row) => row[1] !== row[2])
      .map((row) => [`${row[1]}>${row[2]}`, Date.parse(row[0] ?? ''), Number(row[3])] as const),
  )
}

/** Requests per whole hour of the World Cup 1998 site, and its matches (days only: the source has no kick-off times). */
export function loadWorldCup(dataDir: string): { readonly series: Series; readonly events: KnownEvent[] } {
  const folder = join(dataDir, 'b_worldcup98_requests_part1')
  const rows = csvRows(join(folder, 'requests_per_minute.csv.gz'))
  const firstMs = Math.ceil(Date.parse(rows[0]?.[0] ?? '') / HOUR) * HOUR
  const endMs = Date.parse(rows.at(-1)?.[0] ?? '') + 60_000
  const values = new Float64Array(Math.floor((endMs - firstMs) / HOUR))
  for (const [time, requests] of rows) {
    const hour = Math.floor((Date.parse(time ?? '') - firstMs) / HOUR)
    if (hour >= 0 && hour < values.length) values[hour] = (values[hour] as number) + Number(requests)
  }
  const events = csvRows(join(folder, 'scheduled_events.csv')).map((row, i) => matchOf(row, i))
  const timesMs = values.map((_, t) => firstMs + (t + 1) * HOUR)
  return { series: { key: 'site', timesMs, values }, events }
}

function matchOf(row: readonly string[], index: number): KnownEvent {
  const validFromMs = Date.parse(row[0] ?? '')
  return {
    id: `match-${index}`,
    revision: 0,
    kind: 'match',
    scope: '*',
    summary: `${row[2]} - ${row[3]}`,
    issuedAtMs: Date.UTC(1998, 0, 1),
    validFromMs,
    validToMs: validFromMs + DAY,
    severity: 0,
    cancelled: false,
  }
}

/**
 * The last `origins` blocks of `horizon` points of each series, newest first, each to be forecast from the
 * `maxTrain` points before it (0: all); the same split as the reference script's `--origins`.
 */
export function lastBlocks(
  series: readonly Series[],
  horizon: number,
  origins: number,
  maxTrain = 0,
): Split[] {
  const splits: Split[] = []
  for (const { key, timesMs, values } of series) {
    for (let origin = 0; origin < origins; origin++) {
      const end = values.length - origin * horizon
      const start = end - horizon
      if (start <= 2) continue
      const from = maxTrain > 0 ? Math.max(0, start - maxTrain) : 0
      splits.push({
        key: `${key}@${origin}`,
        train: values.slice(from, start),
        test: values.slice(start, end),
        lastMs: timesMs[start - 1] as number,
      })
    }
  }
  return splits
}

/** The first `points` of each series. */
export const cutTo = (series: readonly Series[], points: number): Series[] =>
  series.map(({ key, timesMs, values }) => ({
    key,
    timesMs: timesMs.slice(0, points),
    values: values.slice(0, points),
  }))

/** Series as the reference script reads them. */
export function asCsv(series: readonly Series[]): string {
  const lines = ['series_id,t,y']
  for (const { key, values } of series) {
    values.forEach((value, t) => lines.push(`${key},${t},${value}`))
  }
  return `${lines.join('\n')}\n`
}
