import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'

/** A series in time order as its source has it: rows, not resampled. */
export interface Series {
  readonly key: string
  readonly timesMs: Float64Array
  readonly values: Float64Array
}

/** The part a model may see, and the part it is scored on. */
export interface Split {
  readonly key: string
  readonly train: Float64Array
  readonly test: Float64Array
}

function csvRows(path: string): string[][] {
  const text = gunzipSync(readFileSync(path)).toString('utf8')
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
    return steps.sort()[steps.length >> 1] === 300_000
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
  for (const { key, values } of series) {
    for (let origin = 0; origin < origins; origin++) {
      const end = values.length - origin * horizon
      const start = end - horizon
      if (start <= 2) continue
      const from = maxTrain > 0 ? Math.max(0, start - maxTrain) : 0
      splits.push({
        key: `${key}@${origin}`,
        train: values.slice(from, start),
        test: values.slice(start, end),
      })
    }
  }
  return splits
}
