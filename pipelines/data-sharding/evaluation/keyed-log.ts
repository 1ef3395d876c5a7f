import { ForestallError } from '#core/ports'
import { segmentOf } from '../placement/index.ts'
import { badLine, csvHeader, csvRows, readText, timeOf } from './rows.ts'
import type { Trace } from './trace.ts'

const SEGMENTS = 256
const QUARTER_MS = 900_000
const DAY = 96
const LEAST_DAYS = 0.5
const MOST_DAYS = 731
/** Sums and squares of more would not be exact any more. */
const MOST_WORK = 1e12
const TIMES = ['time', 'ts', 'timestamp', 'event_time', 'event_time_ms']
const KEYS = ['key', 'entity_id', 'entity', 'id']
const WORK = ['work', 'cost', 'duration_ms']
const FORM = `Name one of ${TIMES.join(', ')}, one of ${KEYS.join(', ')}, and for work one of ${WORK.join(', ')} (default: 1 each).`

interface Event {
  readonly timeMs: number
  readonly key: string
  readonly work: number
}

/** Segments of keys, hashed once each. */
export function segmentCache(segments: number): (key: string) => number {
  const known = new Map<string, number>()
  return (key) => {
    let segment = known.get(key)
    if (segment === undefined) {
      segment = segmentOf(key, segments)
      known.set(key, segment)
    }
    return segment
  }
}

const oneOf = (head: readonly string[], names: readonly string[]) => names.find((n) => head.includes(n))

function eventOf(path: string, line: number, time: string, key: string, work: string | undefined): Event {
  if (key === '') throw badLine(path, line, 'no key', FORM)
  const amount = work === undefined ? 1 : work.trim() === '' ? NaN : Number(work)
  if (!(amount >= 0 && amount <= MOST_WORK))
    throw badLine(path, line, `work = '${work}'`, `Write a number from 0 to ${MOST_WORK}.`)
  return { timeMs: timeOf(path, line, time), key, work: amount }
}

function* csvEvents(text: string, path: string): Generator<Event> {
  const head = csvHeader(text)
  const time = oneOf(head, TIMES)
  const key = oneOf(head, KEYS)
  if (time === undefined || key === undefined)
    throw badLine(
      path,
      1,
      `no ${time === undefined ? 'time' : 'key'} among the columns '${head.join(',')}'`,
      FORM,
    )
  const work = oneOf(head, WORK)
  const names = work === undefined ? [time, key] : [time, key, work]
  for (const { cells, line } of csvRows(text, path, names))
    yield eventOf(path, line, cells[0]!, cells[1]!, cells[2])
}

function jsonObject(path: string, line: number, text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {
    // Said below.
  }
  throw badLine(path, line, 'no JSON object', 'Write one JSON object per line.')
}

function* jsonEvents(text: string, path: string): Generator<Event> {
  let line = 0
  for (const row of text.split(/\r?\n/)) {
    line++
    if (row === '') continue
    const fields = jsonObject(path, line, row)
    const head = Object.keys(fields)
    const field = (names: readonly string[]) => {
      const value = fields[oneOf(head, names) ?? '']
      return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
    }
    yield eventOf(path, line, field(TIMES) ?? '', field(KEYS) ?? '', oneOf(head, WORK) && (field(WORK) ?? ''))
  }
}

function checkSpan(path: string, first: number, last: number): void {
  const days = (last - first) / 86_400_000
  if (days >= LEAST_DAYS && days <= MOST_DAYS) return
  const at = (ms: number) => new Date(ms).toISOString()
  throw new ForestallError(
    'CONFIG_INVALID',
    `${path} spans ${days < 10 ? days.toFixed(1) : Math.round(days)} days, from ${at(first)} to ${at(last)}`,
    {
      cure: `Give ${LEAST_DAYS} to ${MOST_DAYS} days, best several weeks. Numbers are seconds since 1970, or ms from 1e11 on.`,
    },
  )
}

/**
 * Any keyed log, in any order: quarters of an hour, plans from a quarter of it on, the score from the half on.
 * Throws CONFIG_INVALID with the line that cannot be read, or for a span that cannot be scored.
 */
export function keyedTrace(path: string, name: string): Trace {
  const text = readText(path)
  const events = [...(/\.(jsonl|ndjson)(\.gz)?$/.test(path) ? jsonEvents : csvEvents)(text, path)]
  if (!events.some(({ work }) => work > 0))
    throw new ForestallError('CONFIG_INVALID', `${path} holds no query with work above 0`, { cure: FORM })
  const first = events.reduce((a, e) => Math.min(a, e.timeMs), Infinity)
  const last = events.reduce((a, e) => Math.max(a, e.timeMs), -Infinity)
  checkSpan(path, first, last)
  const from = Math.floor(first / QUARTER_MS) * QUARTER_MS
  const steps = Math.floor((last - from) / QUARTER_MS) + 1
  const work = new Float64Array(steps * SEGMENTS)
  const segment = segmentCache(SEGMENTS)
  for (const { timeMs: at, key, work: amount } of events)
    work[Math.floor((at - from) / QUARTER_MS) * SEGMENTS + segment(key)]! += amount
  const t0 = Math.floor(steps / 2)
  if (!work.subarray(t0 * SEGMENTS).some((amount) => amount > 0))
    throw new ForestallError(
      'CONFIG_INVALID',
      `${path}: nothing has work in the second half, which is scored`,
      {
        cure: 'Give a log whose queries go on to its end.',
      },
    )
  return {
    name,
    segments: SEGMENTS,
    instances: 8,
    steps,
    work,
    calendar: null,
    start: Math.floor(steps / 4),
    t0,
    day: DAY,
    week: 7 * DAY,
    leadSteps: 2,
  }
}
