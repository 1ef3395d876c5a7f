import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { ForestallError } from '#core/ports'
import { keyedTrace, segmentCache } from './keyed-log.ts'
import { badLine, csvHeader, csvRows, readText, timeOf } from './rows.ts'
import type { Trace } from './trace.ts'

const SEGMENTS = 256
const MINUTE = 60_000
const DAY_MS = 86_400_000
const QUARTER = 15 * MINUTE
const DAY = 96
const HOTEL = ['ts', 'dest_market']
const DEPARTURES = ['sched_dep_local', 'origin', 'dest', 'carrier', 'dep_delay']

const nothing = (path: string, what: string, cure: string) =>
  new ForestallError('CONFIG_INVALID', `${path} holds ${what}`, { cure })

const HOTEL_WEEKS = { all: 77, start: 888, t0: 1368 }
const MOST_WEEKS = 1000

/** A week's seven days fold into one virtual day of 24 steps; the last week counts only if it is whole. */
function hotelTrace(path: string, text: string): Trace {
  const rows = [...csvRows(text, path, HOTEL)].map(({ cells: [ts = '', market = ''], line }) => ({
    time: timeOf(path, line, ts),
    market,
  }))
  const first = rows.reduce((a, { time }) => Math.min(a, time), Infinity)
  const last = rows.reduce((a, { time }) => Math.max(a, time), -Infinity)
  // Weeks begin on Mondays; 1970-01-05 was one.
  const monday = Math.floor((Math.floor(first / DAY_MS) - 4) / 7) * 7 + 4
  const weeks = Math.floor((Math.floor(last / DAY_MS) + 1 - monday) / 7)
  if (!(weeks >= 2 && weeks <= MOST_WEEKS))
    throw nothing(
      path,
      rows.length === 0 ? 'no searches' : `${weeks} weeks`,
      `Give 2 to ${MOST_WEEKS} whole weeks.`,
    )
  const steps = weeks * 24
  const work = new Float64Array(steps * SEGMENTS)
  const segment = segmentCache(SEGMENTS)
  for (const { time, market } of rows) {
    const days = Math.floor(time / DAY_MS)
    const week = Math.floor((days - monday) / 7)
    const hour = Math.floor((time - days * DAY_MS) / 3_600_000)
    if (week < weeks) work[(24 * week + hour) * SEGMENTS + segment(market)]! += 1
  }
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
    lateShare: 0.005,
  }
}

interface Departure {
  readonly step: number
  readonly segment: number
  /** Full quarters of an hour of delay; -1: cancelled. */
  readonly delay: number
}

function delayOf(path: string, line: number, text: string): number {
  const minutes = Number(text)
  if (Number.isFinite(minutes)) return Math.min(24, Math.floor(Math.max(0, minutes) / 15))
  throw badLine(
    path,
    line,
    `dep_delay = '${text}'`,
    'Write minutes, or nothing for a flight that was cancelled.',
  )
}

function departures(path: string, text: string, from: number, steps: number): Departure[] {
  const found: Departure[] = []
  const segment = segmentCache(SEGMENTS)
  for (const { cells, line } of csvRows(text, path, DEPARTURES)) {
    const [time = '', origin, dest, carrier, delay = ''] = cells
    const step = Math.floor((timeOf(path, line, time) - from) / QUARTER)
    const quarters = delay === '' ? -1 : delayOf(path, line, delay)
    if (step >= 0 && step < steps)
      found.push({ step, segment: segment(`${origin}-${dest}-${carrier}`), delay: quarters })
  }
  if (found.length > 0) return found
  const day = new Date(from).toISOString().slice(0, 10)
  throw nothing(
    path,
    `no departures in the ${steps / DAY} days from ${day} on`,
    'Take another file, or leave --later out.',
  )
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
function flightsTrace(path: string, text: string, from: number, days: number, name: string): Trace {
  const steps = days * DAY
  const work = new Float64Array(steps * SEGMENTS)
  const calendar = new Float64Array(steps * SEGMENTS)
  for (const flight of departures(path, text, from, steps)) addDeparture(flight, steps, work, calendar)
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
    lateShare: 0.0005,
  }
}

/** The first half of the year is the developers'; `later` takes the second. */
function flights(path: string, text: string, later: boolean): Trace {
  const [first] = csvRows(text, path, DEPARTURES)
  if (first === undefined) throw nothing(path, 'no departures', `Give rows of ${DEPARTURES.join(', ')}.`)
  const at = timeOf(path, first.line, first.cells[0]!)
  const half = Date.UTC(new Date(at).getUTCFullYear(), 6, 1)
  return later
    ? flightsTrace(path, text, half, 184, 'flights, second half')
    : flightsTrace(path, text, Math.floor(at / DAY_MS) * DAY_MS, 181, 'flights')
}

const isForm = (text: string, columns: readonly string[]) => {
  const head = csvHeader(text)
  return columns.every((column) => head.includes(column))
}

function traceOf(folder: string, file: string, later: boolean): Trace {
  const path = join(folder, file)
  if (/^(departures|queries)\.csv/.test(file)) {
    const text = readText(path)
    if (isForm(text, DEPARTURES)) return flights(path, text, later)
    if (isForm(text, HOTEL)) return hotelTrace(path, text)
  }
  // With its ending: never the name of a trace of the protocol.
  return keyedTrace(path, file)
}

/** Files of a folder. Throws CONFIG_INVALID if it is none. */
function filesOf(folder: string): string[] {
  try {
    return readdirSync(folder).sort()
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `--data = ${folder} is no folder that can be read`, {
      cure: 'Name the folder, not a file in it.',
      cause,
    })
  }
}

/**
 * The traces of a folder: hotel searches (queries.csv.gz with `dest_market`), flights (departures.csv.gz), or any
 * CSV or JSON-lines files with time, key and optionally work. `later` takes the second half-year of flights, and nothing else.
 * Throws CONFIG_INVALID if it holds nothing of these forms.
 */
export function loadTraces(folder: string, later = false): Trace[] {
  const files = filesOf(folder).filter(
    (file) => /\.(csv|jsonl|ndjson)(\.gz)?$/.test(file) && !file.startsWith('weather'),
  )
  const wanted = later ? files.filter((file) => file.startsWith('departures.csv')) : files
  if (wanted.length > 0) return wanted.map((file) => traceOf(folder, file, later))
  throw new ForestallError(
    'CONFIG_INVALID',
    later ? `--later: ${folder} holds no departures.csv[.gz]` : `--data = ${folder} holds no query log`,
    { cure: 'Name a folder with CSV or JSON lines of time, key[, work]: docs/how-to/evaluate.md.' },
  )
}
