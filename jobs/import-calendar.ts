import { Buffer } from 'node:buffer'
import { readFile, stat } from 'node:fs/promises'
import { basename } from 'node:path'
import { type CalendarEvent, topicName, topicSpec } from '#schemas'
import { type Broker, ForestallError, systemClock } from '#core/ports'
import { type CalendarContent, readCalendar } from '#infra/adapters'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec } from './connect.ts'
import { readLatest, type RecordCodec } from '#core/codec'
import type { ExitCode } from './errors-exit.ts'

/** `forestall import-calendar`: events of an iCalendar file or URL to `events.calendar`. */
export interface ImportCalendarArgs extends CommonArgs {
  /** A file, or an http(s) URL. */
  readonly from: string
  readonly kind?: string
  readonly scope?: string
  readonly zone?: string
  /** When all of it became known, ms; absent: as the calendar says. */
  readonly issuedAtMs?: number
  /** How far back and ahead occurrences are imported, ms. */
  readonly backMs: number
  readonly aheadMs: number
  /** Events of this source that are no longer in it are cancelled. */
  readonly complete: boolean
  /** Of a replay; '' is live. */
  readonly replayId: string
  readonly dataDir: string
}

const TOPIC = 'events.calendar'
const LARGEST_BYTES = 20 * 2 ** 20
const FETCH_MS = 30_000

/** Imports a calendar; importing it again changes nothing. Returns 1 if an item could not be read; the others are imported. */
export async function runImportCalendar(args: ImportCalendarArgs): Promise<ExitCode> {
  const nowMs = systemClock.nowMs()
  const { text, source } = await load(args.from)
  const content = readCalendar(text, {
    source,
    nowMs,
    fromMs: nowMs - args.backMs,
    toMs: nowMs + args.aheadMs,
    ...(args.kind === undefined ? {} : { kind: args.kind }),
    ...(args.scope === undefined ? {} : { scope: args.scope }),
    ...(args.zone === undefined ? {} : { zone: args.zone }),
    ...(args.issuedAtMs === undefined ? {} : { issuedAtMs: args.issuedAtMs }),
  })
  const found = findConnections(args.dataDir)
  const prefix = replayPrefix(await findReplay(found, args.replayId))
  const broker = await openBroker(found, 'forestall-import-calendar')
  try {
    const codec = await openCodec(found)
    const counts = await write(broker, codec, prefix, content, { source, nowMs, ...args })
    for (const { line, uid, reason } of content.bad)
      process.stderr.write(`line ${line}${uid === '' ? '' : `, UID ${uid}`}: ${reason}\n`)
    process.stdout.write(
      args.json
        ? `${JSON.stringify({ ...counts, bad: content.bad })}\n`
        : `${counts.written} events written, ${counts.unchanged} unchanged, ${counts.stale} older than what stands, ` +
            `${counts.withdrawn} withdrawn; ${content.bad.length} items could not be read\n`,
    )
    return content.bad.length > 0 ? 1 : 0
  } finally {
    await broker.close()
  }
}

/** What an import did. */
interface ImportCounts {
  written: number
  unchanged: number
  /** Revisions below the one that stands. */
  stale: number
  /** Occurrences that are no longer there. */
  withdrawn: number
}

interface WriteOptions {
  readonly source: string
  readonly nowMs: number
  readonly backMs: number
  readonly aheadMs: number
  readonly complete: boolean
}

async function write(
  broker: Broker,
  codec: RecordCodec,
  prefix: string,
  { events, uids, bad }: CalendarContent,
  options: WriteOptions,
): Promise<ImportCounts> {
  await codec.prepare([{ topic: TOPIC, record: 'CalendarEvent' }])
  const admin = broker.admin()
  try {
    await admin.ensureTopics([topicSpec(TOPIC, { prefix })])
  } finally {
    await admin.close()
  }
  const topic = topicName(TOPIC, prefix)
  const standing = await readStanding(broker, codec, topic)
  const counts: ImportCounts = { written: 0, unchanged: 0, stale: 0, withdrawn: 0 }
  const producer = broker.producer()
  const put = (event: CalendarEvent) =>
    producer.add(
      topic,
      0,
      options.nowMs,
      Buffer.from(event.event_id),
      codec.encode(TOPIC, 'CalendarEvent', event),
    )
  for (const event of events) {
    const held = standing.get(event.event_id)
    if (held !== undefined && isSame(event, held)) counts.unchanged++
    else if (held !== undefined && event.revision < held.revision) counts.stale++
    else {
      // A change that the calendar does not count is one all the same, known from now on.
      const revision = held === undefined ? event.revision : Math.max(event.revision, held.revision + 1)
      const isCounted = held === undefined || event.revision > held.revision
      put({ ...event, revision, issued_at_ms: isCounted ? event.issued_at_ms : options.nowMs })
      counts.written++
    }
  }
  const imported = new Set(events.map((event) => event.event_id))
  const isWhole = options.complete && bad.length === 0
  for (const held of standing.values()) {
    if (held.cancelled || imported.has(held.event_id) || !isGone(held, uids, isWhole, options)) continue
    // Not a revision that the calendar counts: one that brings it back need not be above it.
    put({ ...held, cancelled: true, issued_at_ms: options.nowMs })
    counts.withdrawn++
  }
  await producer.flush()
  await producer.close()
  return counts
}

/** What stands of a source, within the time imported, and is no longer in it: an occurrence taken out of a rule, or (a complete import) an event. */
function isGone(
  held: CalendarEvent,
  uids: ReadonlySet<string>,
  isWhole: boolean,
  options: WriteOptions,
): boolean {
  const { source, nowMs, backMs, aheadMs } = options
  if (held.source !== source) return false
  if (held.valid_to_ms < nowMs - backMs || held.valid_from_ms >= nowMs + aheadMs) return false
  return isWhole || uids.has(held.event_id) || uids.has(held.event_id.replace(/\/[0-9TZ]+$/, ''))
}

const FACTS = [
  'kind',
  'scope',
  'summary',
  'valid_from_ms',
  'valid_to_ms',
  'severity',
  'source',
  'cancelled',
  'geometry',
] as const

/** True if nothing that forecasts look at differs. */
const isSame = (event: CalendarEvent, held: CalendarEvent): boolean =>
  FACTS.every((field) => event[field] === held[field]) && event.revision <= held.revision

async function readStanding(
  broker: Broker,
  codec: RecordCodec,
  topic: string,
): Promise<Map<string, CalendarEvent>> {
  const standing = new Map<string, CalendarEvent>()
  for (const [key, value] of await readLatest(broker, topic))
    standing.set(key, await codec.decodeAsync(value, 0, value.length, 'CalendarEvent'))
  return standing
}

/** The text of a file or URL, and the name that its events carry as their source. Throws CONFIG_INVALID for what is not there or too large. */
async function load(from: string): Promise<{ text: string; source: string }> {
  const refuse = (what: string, cause?: unknown) =>
    new ForestallError('CONFIG_INVALID', `${from}: ${what}`, {
      ...(cause === undefined ? {} : { cause }),
      cure: 'Give an iCalendar file of at most 20 MiB, or the http(s) URL of one.',
    })
  if (/^[a-z]+:\/\//i.test(from)) {
    if (!/^https?:/i.test(from)) throw refuse('only http and https are fetched')
    try {
      const response = await fetch(from, { signal: AbortSignal.timeout(FETCH_MS) })
      if (!response.ok) throw new RangeError(`the server answers ${response.status}`)
      const text = await limited(response)
      // Credentials in a URL belong into no record.
      const { origin, pathname } = new URL(from)
      return { text, source: `${origin}${pathname}` }
    } catch (cause) {
      throw refuse((cause as Error).message, cause)
    }
  }
  try {
    if ((await stat(from)).size > LARGEST_BYTES) throw new RangeError('larger than 20 MiB')
    return { text: await readFile(from, 'utf8'), source: basename(from) }
  } catch (cause) {
    throw refuse((cause as Error).message, cause)
  }
}

async function limited(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of response.body ?? []) {
    bytes += part.length
    if (bytes > LARGEST_BYTES) throw new RangeError('larger than 20 MiB')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
