import type { RecordCodec } from '#core/codec'
import { type ErrorCode, isError, type RecordCursor } from '#core/ports'
import { createTruth, isSelfPair, type TopicTruth, type Truth } from '../demo/truth.ts'
import { FLOWS_TOPIC, PROBES_TOPIC } from '../demo/telemetry-writer.ts'
import { scanTopic, type TopicSource } from '../topic-reader.ts'
import type { WindowAccount } from '../demo/window-account.ts'

/** Event times further from the time of writing than this are poison: the load's are a year off, or 1970. */
const POISON_MS = 3_600_000

/** What must have become of the input: computed from the log alone, by code that shares nothing with the pipeline's. */
export async function truthOfInput(
  source: TopicSource,
  codec: RecordCodec,
  prefix: string,
  windowMs: number,
): Promise<Truth> {
  const truth = createTruth(windowMs)
  const { streams, regions } = truth
  await eachRecord(source, `${prefix}${FLOWS_TOPIC}`, truth.flows, async ({ buffer, at, end, timeMs }) => {
    const flow = await codec.decodeAsync(buffer, at, end, 'Flow')
    if (isPoison(flow.event_time_ms, timeMs)) return 'RECORD_TIME_INVALID'
    if (!Number.isFinite(flow.bytes)) return 'RECORD_INVALID'
    if (isSelfPair(flow.stream)) truth.flows.skipped++
    else streams.add(streams.keyId(flow.stream), flow.event_time_ms, 1, flow.bytes)
    return null
  })
  await eachRecord(source, `${prefix}${PROBES_TOPIC}`, truth.probes, async ({ buffer, at, end, timeMs }) => {
    const probe = await codec.decodeAsync(buffer, at, end, 'RegionProbe')
    if (isPoison(probe.event_time_ms, timeMs)) return 'RECORD_TIME_INVALID'
    regions.add(regions.keyId(probe.region), probe.event_time_ms, 1, 0)
    return null
  })
  return truth
}

const isPoison = (eventTimeMs: number, writtenMs: number): boolean =>
  Math.abs(eventTimeMs - writtenMs) > POISON_MS

interface Value {
  readonly buffer: Buffer
  readonly at: number
  readonly end: number
  /** Kafka timestamp, ms. */
  readonly timeMs: number
}

/** Counts every record of a topic; `take` says why one is bad, or null. */
async function eachRecord(
  source: TopicSource,
  topic: string,
  account: TopicTruth,
  take: (value: Value) => Promise<ErrorCode | null>,
): Promise<void> {
  const visit = async (cursor: RecordCursor): Promise<void> => {
    const { buffer, valueStart, valueLength, timestampMs } = cursor
    if (valueLength < 0) return // end marks
    account.records++
    const value = { buffer, at: valueStart, end: valueStart + valueLength, timeMs: timestampMs }
    const code = await take(value).catch(codeOf)
    if (code !== null) account.bad[code] = (account.bad[code] ?? 0) + 1
  }
  await scanTopic(source, topic, visit)
}

function codeOf(error: unknown): ErrorCode {
  if (isError(error, 'RECORD_SCHEMA_UNKNOWN')) return 'RECORD_SCHEMA_UNKNOWN'
  if (isError(error, 'RECORD_UNDECODABLE')) return 'RECORD_UNDECODABLE'
  throw error
}

/** How the log differs from what its writer was told. */
export interface InputDifferences {
  /** Acknowledged records that are not in the log. */
  readonly lost: number
  /** Records in the log more often than they were sent. */
  readonly duplicated: number
  readonly details: readonly string[]
}

/** Compares the log with what Kafka has acknowledged; of records without an answer nothing is known. */
export function compareInput(acknowledged: Truth, log: Truth): InputDifferences {
  const found = { lost: 0, duplicated: 0, details: [] as string[] }
  const unknown = acknowledged.flows.unknown + acknowledged.probes.unknown
  const note = (what: string, sent: number, there: number): void => {
    if (there < sent) found.lost += sent - there
    else if (there > sent && unknown === 0) found.duplicated += there - sent
    else return
    found.details.push(`input log: ${there} of ${sent} records of ${what}`)
  }
  const windows = (sent: WindowAccount, there: WindowAccount): void =>
    sent.forEach((key, startMs, { records }) =>
      note(`${key} at ${new Date(startMs).toISOString()}`, records, there.get(key, startMs).records),
    )
  windows(acknowledged.streams, log.streams)
  windows(acknowledged.regions, log.regions)
  for (const topic of ['flows', 'probes'] as const) {
    const [sent, there] = [acknowledged[topic], log[topic]]
    note(`skipped ${topic}`, sent.skipped, there.skipped)
    for (const [code, count] of Object.entries(sent.bad))
      note(`${topic} ${code}`, count, there.bad[code as ErrorCode] ?? 0)
  }
  return found
}
