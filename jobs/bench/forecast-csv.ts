import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { ForestallError } from '#core/ports'
import type { Series, Split } from './forecast-data.ts'

/** A series on an even grid. */
export interface GridSeries {
  readonly key: string
  /** Step of the grid in the unit of t (ms for times, 1 for row numbers). */
  readonly step: number
  /** NaN = gap. */
  readonly values: Float64Array
  /** Place on the grid of every row, ascending. */
  readonly places: Int32Array
}

const NO_ZONE = /^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?)?$/
/** A grid may have this many steps per row; with more, rows are steps. */
const MOST_STEPS_PER_ROW = 3

/**
 * Reads a CSV of (series_id, t, y), with or without a header, `.gz` too. t: ISO time (UTC if it names no zone), epoch or any
 * number. Rows in any order; of rows with the same t the last stands; an empty or non-numeric y is a gap. Throws CONFIG_INVALID.
 */
export function readSeriesCsv(path: string): Series[] {
  const bytes = readFileSync(path)
  const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8')
  const byKey = new Map<string, Map<number, number>>()
  text.split(/\r?\n/).forEach((line, i) => {
    if (line.trim() === '') return
    const [key = '', t = '', y = ''] = line.split(',').map((cell) => cell.trim().replace(/^"(.*)"$/, '$1'))
    const time = timeOf(t)
    if (Number.isNaN(time)) {
      if (i === 0) return
      throw new ForestallError('CONFIG_INVALID', `${path}: line ${i + 1}: "${t}" is no time and no number`, {
        cure: 'Columns are series_id, t, y; t is an ISO time, an epoch or a whole number.',
      })
    }
    const points = byKey.get(key) ?? new Map<number, number>()
    byKey.set(key, points)
    points.set(time, y === '' ? Number.NaN : Number(y))
  })
  return [...byKey].map(([key, points]) => {
    const rows = [...points].sort((a, b) => a[0] - b[0])
    return {
      key,
      timesMs: Float64Array.from(rows, ([time]) => time),
      values: Float64Array.from(rows, ([, value]) => (Number.isFinite(value) ? value : Number.NaN)),
    }
  })
}

function timeOf(text: string): number {
  if (text === '') return Number.NaN
  const number = Number(text)
  if (Number.isFinite(number)) return number
  return Date.parse(NO_ZONE.test(text) && text.length > 10 ? `${text.replace(' ', 'T')}Z` : text)
}

/** Rows on an even grid of their usual distance; series too ragged for a grid take each row for a step. */
export function onGrid({ key, timesMs, values }: Series): GridSeries {
  const gaps = timesMs.slice(1).map((time, i) => time - (timesMs[i] as number))
  const step = gaps.length > 0 ? (gaps.sort()[gaps.length >> 1] as number) : 1
  const first = timesMs[0] ?? 0
  const place = (time: number) => Math.round((time - first) / step)
  const length = place(timesMs.at(-1) ?? first) + 1
  const rows = Int32Array.from(timesMs, (time, i) =>
    length <= MOST_STEPS_PER_ROW * timesMs.length ? place(time) : i,
  )
  const grid = new Float64Array((rows.at(-1) ?? -1) + 1).fill(Number.NaN)
  rows.forEach((at, i) => {
    grid[at] = values[i] as number
  })
  return { key, step, values: grid, places: rows }
}

/** Longest horizon in steps that a forecaster takes. */
const MOST_STEPS = 1000

/** The last `horizon` rows as the test part of each series (as the reference script splits), gaps between them not scored. */
export function lastRows(series: readonly GridSeries[], horizon: number): Split[] {
  return series.flatMap(({ key, values, places }) => {
    const start = places[places.length - horizon] ?? -1
    const end = Math.min(values.length, start + MOST_STEPS)
    if (places.length < horizon + 3) return []
    return [{ key, train: values.slice(0, start), test: values.slice(start, end), lastMs: start }]
  })
}
