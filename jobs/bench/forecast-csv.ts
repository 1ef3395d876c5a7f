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
const QUARTER = /^(\d{4})-?Q([1-4])$/i
/** A grid may have this many steps per row; with more, rows are steps. */
const MOST_STEPS_PER_ROW = 3
const DAY_MS = 86_400_000
/** A season of this many days is one of working days: weekends are no gaps. */
const WORKING_DAYS = 5
/** Steps that are no fixed number of ms: distances between neighbours in days, and months in a step. */
const CALENDAR_STEPS = [
  { least: 28, most: 31, months: 1 },
  { least: 89, most: 92, months: 3 },
  { least: 365, most: 366, months: 12 },
] as const

/** Names of the columns in a header; with others, or without a header, they come in this order. */
const COLUMN_NAMES = [
  ['series_id', 'unique_id', 'item_id', 'series', 'id'],
  ['t', 'ds', 'time', 'timestamp', 'date', 'datetime'],
  ['y', 'value', 'target'],
] as const

/**
 * Reads a CSV of (series_id, t, y), with or without a header, `.gz` too. t: ISO time (UTC if it names no zone), quarter (2020Q1), epoch or any
 * number. Rows in any order; of rows with the same t the last stands; an empty or non-numeric y is a gap. Cells may be quoted. Throws CONFIG_INVALID.
 */
export function readSeriesCsv(path: string): Series[] {
  const text = textOf(path)
  const byKey = new Map<string, Map<number, number>>()
  const separator = separatorOf(text)
  let columns: readonly number[] = [0, 1, 2]
  let line = 0
  for (const row of linesOf(text)) {
    line++
    if (row.trim() === '') continue
    const cells = cellsOf(row, separator)
    const [key = '', t = '', y = ''] = columns.map((column) => cells[column])
    const time = timeOf(t)
    if (Number.isNaN(time)) {
      if (line === 1) {
        columns = columnsOf(cells)
        continue
      }
      throw new ForestallError('CONFIG_INVALID', `${path}: line ${line}: "${t}" is no time and no number`, {
        cure: 'Columns are series_id, t, y; t is an ISO time, an epoch or a whole number.',
      })
    }
    const points = byKey.get(key) ?? new Map<number, number>()
    byKey.set(key, points)
    points.set(time, y === '' ? Number.NaN : Number(y))
  }
  return [...byKey].map(([key, points]) => {
    const rows = [...points].sort((a, b) => a[0] - b[0])
    return {
      key,
      timesMs: Float64Array.from(rows, ([time]) => time),
      values: Float64Array.from(rows, ([, value]) => (Number.isFinite(value) ? value : Number.NaN)),
    }
  })
}

function textOf(path: string): string {
  try {
    const bytes = readFileSync(path)
    return (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8').replace(/^\uFEFF/, '')
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `${path}: ${(cause as Error).message}`, { cause })
  }
}

/** Lines one by one: a split of a large file would hold all of them at once. */
function* linesOf(text: string): Generator<string> {
  for (let from = 0; from < text.length; ) {
    const end = text.indexOf('\n', from)
    const to = end < 0 ? text.length : end
    yield text.slice(from, text[to - 1] === '\r' ? to - 1 : to)
    from = to + 1
  }
}

/** What separates the cells of the first line: a comma unless it has none. */
function separatorOf(text: string): string {
  const [first = ''] = linesOf(text)
  return [',', ';', '\t'].find((one) => first.includes(one)) ?? ','
}

const CELL = /^\s*"((?:[^"]|"")*)"\s*$/

/** Cells of a line; a quoted one may hold separators and doubled quotes. */
function cellsOf(row: string, separator: string): string[] {
  if (!row.includes('"')) return row.split(separator).map((cell) => cell.trim())
  const cells: string[] = []
  let from = 0
  let quoted = false
  for (let at = 0; at <= row.length; at++) {
    if (row[at] === '"') quoted = !quoted
    if (at < row.length && (quoted || row[at] !== separator)) continue
    const cell = row.slice(from, at)
    cells.push(CELL.exec(cell)?.[1]?.replaceAll('""', '"') ?? cell.trim())
    from = at + 1
  }
  return cells
}

/** Where the columns of a header are, if it names all three. */
function columnsOf(header: readonly string[]): number[] {
  const names = header.map((name) => name.toLowerCase())
  const found = COLUMN_NAMES.map((known) =>
    names.findIndex((name) => (known as readonly string[]).includes(name)),
  )
  return found.includes(-1) ? [0, 1, 2] : found
}

function timeOf(text: string): number {
  if (text === '') return Number.NaN
  const number = Number(text)
  if (Number.isFinite(number)) return number
  const [, year, quarter] = QUARTER.exec(text) ?? []
  if (year !== undefined) return Date.UTC(Number(year), 3 * (Number(quarter) - 1))
  return Date.parse(NO_ZONE.test(text) && text.length > 10 ? `${text.replace(' ', 'T')}Z` : text)
}

/**
 * Rows on an even grid of their usual distance (of months where that is what it is); series too ragged for a grid take each row for a step, and
 * so do daily ones with a season of 5.
 */
export function onGrid({ key, timesMs, values }: Series, season = 1): GridSeries {
  const gaps = timesMs.slice(1).map((time, i) => time - (timesMs[i] as number))
  const step = gaps.length > 0 ? (gaps.sort()[gaps.length >> 1] as number) : 1
  const place = placing(timesMs[0] ?? 0, step, gaps[0] ?? step)
  const length = place(timesMs.at(-1) ?? 0) + 1
  const isEven =
    length <= MOST_STEPS_PER_ROW * timesMs.length && !(step === DAY_MS && season === WORKING_DAYS)
  const rows = Int32Array.from(timesMs, (time, i) => (isEven ? place(time) : i))
  const grid = new Float64Array((rows.at(-1) ?? -1) + 1).fill(Number.NaN)
  // A row that shares its place with the one before is the later word on it, but no gap wipes a value out.
  rows.forEach((at, i) => {
    if (!Number.isNaN(values[i])) grid[at] = values[i] as number
  })
  return { key, step, values: grid, places: isEven ? rows.filter((at, i) => at !== rows[i - 1]) : rows }
}

/** The step of the grid that a time is in. `least`: the smallest distance of two rows. */
function placing(first: number, step: number, least: number): (time: number) => number {
  const calendar = CALENDAR_STEPS.find(
    (one) =>
      step >= one.least * DAY_MS - DAY_MS / 2 &&
      step <= one.most * DAY_MS + DAY_MS / 2 &&
      least >= (one.least - 1) * DAY_MS,
  )
  if (!calendar) return (time) => Math.round((time - first) / step)
  // Half a step is room for dates that wander within their month.
  const monthOf = (time: number): number => {
    const date = new Date(time)
    return 12 * date.getUTCFullYear() + date.getUTCMonth() + (date.getUTCDate() - 1) / 31
  }
  const start = monthOf(first)
  return (time) => Math.round((monthOf(time) - start) / calendar.months)
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
