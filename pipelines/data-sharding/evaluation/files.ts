import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { ForestallError } from '#core/ports'
import { segmentOf } from '../placement/index.ts'
import type { Trace } from './trace.ts'

const SEGMENTS = 256
const MINUTE = 60_000
const DAY_MS = 86_400_000
const QUARTER = 15 * MINUTE
const DAY = 96

/** Rows of a CSV text without quotes, each as a reader of columns by name. */
function* csvRows(text: string, path: string, names: readonly string[]): Generator<string[]> {
  const lines = text.split(/\r?\n/)
  const head = (lines[0] ?? '').split(',')
  const columns = names.map((name) => head.indexOf(name))
  const missing = names.find((_, i) => columns[i]! < 0)
  if (missing !== undefined) throw new ForestallError('CONFIG_INVALID', `${path}: no column '${missing}'`)
  for (let i = 1; i < lines.length; i++) {
    if (lines[i] === '') continue
    const cells = lines[i]!.split(',')
    yield columns.map((c) => cells[c] ?? '')
  }
}

const readText = (path: string): string =>
  path.endsWith('.gz') ? gunzipSync(readFileSync(path)).toString() : readFileSync(path, 'utf8')

/** Milliseconds of an ISO time without zone (taken as UTC) or with one, or of a number: seconds, or ms beyond 1e11. */
function timeMs(text: string): number {
  const number = Number(text)
  if (text !== '' && Number.isFinite(number)) return number > 1e11 ? number : number * 1000
  const iso = text.replace(' ', 'T')
  return Date.parse(/([zZ]|[+-]\d\d:?\d\d)$/.test(iso) ? iso : `${iso}Z`)
}

class SegmentCache {
  readonly #known = new Map<string, number>()

  of(key: string): number {
    let segment = this.#known.get(key)
    if (segment === undefined) {
      segment = segmentOf(key, SEGMENTS)
      this.#known.set(key, segment)
    }
    return segment
  }
}

const HOTEL_WEEKS = { all: 77, start: 888, t0: 1368 }

/** A week's seven days fold into one virtual day of 24 steps; the last week counts only if it is whole. */
function hotelTrace(path: string): Trace {
  const rows = [...csvRows(readText(path), path, ['ts', 'dest_market'])]
  const times = rows.map(([ts]) => timeMs(ts!))
  const first = times.reduce((a, b) => Math.min(a, b), Infinity)
  const last = times.reduce((a, b) => Math.max(a, b), -Infinity)
  // Weeks begin on Mondays; 1970-01-05 was one.
  const monday = Math.floor((Math.floor(first / DAY_MS) - 4) / 7) * 7 + 4
  const weeks = Math.max(1, Math.floor((Math.floor(last / DAY_MS) + 1 - monday) / 7))
  const steps = weeks * 24
  const work = new Float64Array(steps * SEGMENTS)
  const segments = new SegmentCache()
  rows.forEach(([, market], i) => {
    const days = Math.floor(times[i]! / DAY_MS)
    const week = Math.floor((days - monday) / 7)
    const hour = Math.floor((times[i]! - days * DAY_MS) / 3_600_000)
    if (week < weeks) work[(24 * week + hour) * SEGMENTS + segments.of(market!)]! += 1
  })
  const scaled = (whole: number) => 24 * Math.round((whole / 24) * (weeks / HOTEL_WEEKS.all))
  return {
    name: 'hotel',
    segments: SEGMENTS,
    instances: 4,
    steps,
    work,
    calendar: null,
    start: scaled(HOTEL_WEEKS.start),
    t0: scaled(HOTEL_WEEKS.t0),
    day: 24,
    week: 168,
    leadSteps: 1,
  }
}

interface Departure {
  readonly step: number
  readonly segment: number
  /** Full quarters of an hour of delay; -1: cancelled. */
  readonly delay: number
}

function departures(path: string, from: number, steps: number): Departure[] {
  const found: Departure[] = []
  const segments = new SegmentCache()
  const columns = ['sched_dep_local', 'origin', 'dest', 'carrier', 'dep_delay']
  for (const [time, origin, dest, carrier, delay] of csvRows(readText(path), path, columns)) {
    const step = Math.floor((timeMs(time!) - from) / QUARTER)
    if (step < 0 || step >= steps) continue
    const quarters = delay === '' ? -1 : Math.min(24, Math.floor(Math.max(0, Number(delay)) / 15))
    found.push({ step, segment: segments.of(`${origin}-${dest}-${carrier}`), delay: quarters })
  }
  return found
}

/** Passengers ask about their flight: before it (scheduled: the calendar), while it is late, and after it was cancelled. */
function addDeparture(flight: Departure, steps: number, work: Float64Array, calendar: Float64Array): void {
  const put = (k: number, amount: number, announced: boolean) => {
    const step = Math.max(0, flight.step + k)
    if (step >= steps) return
    work[step * SEGMENTS + flight.segment]! += amount
    if (announced) calendar[step * SEGMENTS + flight.segment]! += amount
  }
  for (let k = -12; k <= 0; k++) put(k, (13 + k) / 13, true)
  for (let k = 1; k <= 3; k++) put(k, 1 - k / 4, true)
  for (let k = 1; k <= flight.delay; k++) put(k, 1, false)
  if (flight.delay < 0) for (let k = -4; k <= 8; k++) put(k, 2, false)
}

/** Half a year of departures (181 days by default) from a date on. */
function flightsTrace(path: string, from: number, days: number, name: string): Trace {
  const steps = days * DAY
  const work = new Float64Array(steps * SEGMENTS)
  const calendar = new Float64Array(steps * SEGMENTS)
  for (const flight of departures(path, from, steps)) addDeparture(flight, steps, work, calendar)
  const weeks = Math.floor(days / 7)
  return {
    name,
    segments: SEGMENTS,
    instances: 8,
    steps,
    work,
    calendar,
    start: Math.min(4, Math.floor(weeks / 4)) * 7 * DAY,
    t0: Math.min(8, Math.floor(weeks / 2)) * 7 * DAY,
    day: DAY,
    week: 7 * DAY,
    leadSteps: 2,
  }
}

/** The first half of the year is the developers'; `later` takes the second. */
function flights(path: string, later: boolean): Trace {
  const text = readText(path)
  const first = timeMs(text.slice(text.indexOf('\n') + 1, text.indexOf('\n') + 17))
  const year = new Date(first).getUTCFullYear()
  const half = Date.UTC(year, 6, 1)
  return later
    ? flightsTrace(path, half, 184, 'flights, second half')
    : flightsTrace(path, Math.floor(first / DAY_MS) * DAY_MS, 181, 'flights')
}

const TIME_NAMES = ['time', 'ts', 'timestamp', 'event_time', 'event_time_ms']
const KEY_NAMES = ['key', 'entity_id', 'entity', 'id']
const WORK_NAMES = ['work', 'cost', 'duration_ms']

interface Event {
  readonly timeMs: number
  readonly key: string
  readonly work: number
}

function* genericEvents(path: string): Generator<Event> {
  const text = readText(path)
  const oneOf = (head: readonly string[], names: readonly string[]) => names.find((n) => head.includes(n))
  if (/\.(jsonl|ndjson)(\.gz)?$/.test(path)) {
    for (const line of text.split(/\r?\n/)) {
      if (line === '') continue
      const row = JSON.parse(line) as Record<string, unknown>
      const head = Object.keys(row)
      const field = (names: readonly string[]) => {
        const value = row[oneOf(head, names) ?? '']
        return typeof value === 'string' || typeof value === 'number' ? String(value) : ''
      }
      const work = field(WORK_NAMES)
      yield { timeMs: timeMs(field(TIME_NAMES)), key: field(KEY_NAMES), work: work === '' ? 1 : Number(work) }
    }
    return
  }
  const head = text.slice(0, text.indexOf('\n')).trim().split(',')
  const work = oneOf(head, WORK_NAMES)
  const names = [oneOf(head, TIME_NAMES) ?? 'time', oneOf(head, KEY_NAMES) ?? 'key', ...(work ? [work] : [])]
  for (const [time, key, cost] of csvRows(text, path, names))
    yield { timeMs: timeMs(time!), key: key!, work: cost === undefined ? 1 : Number(cost) }
}

/** Any keyed log: quarters of an hour, a quarter of it to learn from, half of it before the score begins. */
function genericTrace(path: string, name: string): Trace {
  const events: Event[] = []
  for (const event of genericEvents(path)) {
    if (!Number.isFinite(event.timeMs) || !(event.work >= 0 && event.work < Infinity))
      throw new ForestallError(
        'CONFIG_INVALID',
        `${path}: time or work is no number: ${JSON.stringify(event)}`,
      )
    events.push(event)
  }
  if (events.length === 0) throw new ForestallError('CONFIG_INVALID', `${path}: holds no queries`)
  const first = events.reduce((a, e) => Math.min(a, e.timeMs), Infinity)
  const last = events.reduce((a, e) => Math.max(a, e.timeMs), -Infinity)
  const from = Math.floor(first / QUARTER) * QUARTER
  const steps = Math.floor((last - from) / QUARTER) + 1
  const work = new Float64Array(steps * SEGMENTS)
  const segments = new SegmentCache()
  for (const { timeMs, key, work: amount } of events)
    work[Math.floor((timeMs - from) / QUARTER) * SEGMENTS + segments.of(key)]! += amount
  return {
    name,
    segments: SEGMENTS,
    instances: 8,
    steps,
    work,
    calendar: null,
    start: Math.floor(steps / 4),
    t0: Math.floor(steps / 2),
    day: DAY,
    week: 7 * DAY,
    leadSteps: 2,
  }
}

/**
 * The traces of a folder: hotel searches (queries.csv.gz with `dest_market`), flights (departures.csv.gz), or any
 * CSV or JSON-lines files with time, key and optionally work. `later` takes the second half-year of flights.
 * Throws CONFIG_INVALID if it holds nothing of these forms.
 */
export function loadTraces(folder: string, later = false): Trace[] {
  const files = readdirSync(folder).sort()
  const traces: Trace[] = []
  for (const file of files) {
    const path = join(folder, file)
    if (!/\.(csv|jsonl|ndjson)(\.gz)?$/.test(file) || file.startsWith('weather')) continue
    if (file.startsWith('departures.csv')) traces.push(flights(path, later))
    else if (file.startsWith('queries.csv')) traces.push(hotelTrace(path))
    else traces.push(genericTrace(path, file.replace(/\..*$/, '')))
  }
  if (traces.length > 0) return traces
  throw new ForestallError('CONFIG_INVALID', `--data = ${folder}: no query log`, {
    cure: 'Name a folder with queries.csv.gz, departures.csv.gz, or CSV or JSON lines with time, key[, work].',
  })
}
