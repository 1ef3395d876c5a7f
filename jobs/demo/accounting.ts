import type { RecordByName } from '#schemas'
import type { RecordCodec } from '#core/codec'
import type { Warehouse } from '#core/ports'
import { auditLedger, type LedgerAccount } from './audit-ledger.ts'
import { auditLetters, type LetterAccount } from './audit-letters.ts'
import { compareWindows, readWarehouse, type WindowDifferences, type WindowTable } from './audit-windows.ts'
import { FLOWS_TOPIC, PROBES_TOPIC } from './telemetry-writer.ts'
import { readTopic, type TopicSource } from '../topic-reader.ts'
import type { TopicTruth, Truth } from './truth.ts'
import { WindowAccount } from './window-account.ts'

export { createTruth, type Truth } from './truth.ts'

/** What is audited, against what. */
export interface AuditOptions {
  readonly broker: TopicSource
  readonly codec: RecordCodec
  /** Default ''. */
  readonly topicPrefix?: string
  /** Where the tables are; null: Kafka only. Its rows must be in (`sink.drained()`). */
  readonly warehouse: Warehouse | null
  /** What was written. The topologies must have taken it in, end marks included. */
  readonly truth: Truth
  /** Default 10 per check. */
  readonly mostDetails?: number
}

/** The audit of one input topic. */
export interface TopicAudit {
  readonly topic: string
  /** Committed records of the feature topic against what was sent. */
  readonly kafka: WindowDifferences
  /** Rows of the table against what was sent; null without a warehouse. */
  readonly warehouse: WindowDifferences | null
  readonly ledger: readonly LedgerAccount[]
  readonly deadLetters: Record<string, number>
  readonly late: number
  readonly skipped: Record<string, number>
}

/** What an audit found. Sound: lost = duplicated = wrong = 0 and nothing unknown. */
export interface AuditReport {
  /** Records that are neither in a window nor late, skipped or dead. */
  readonly lost: number
  /** Records counted more than once, and windows reported more than once. */
  readonly duplicated: number
  /** Windows with other bytes, and records refused or skipped for another reason than they must be. */
  readonly wrong: number
  /** Windows compared. */
  readonly windows: number
  /** Records written. */
  readonly records: number
  /** Records of which Kafka's answer never came. */
  readonly unknown: number
  readonly deadLetters: Record<string, number>
  readonly late: number
  readonly skipped: Record<string, number>
  readonly sound: boolean
  /** First few differences, in words. */
  readonly details: readonly string[]
  readonly topics: readonly TopicAudit[]
}

/** One input topic with what is made of it. */
interface Audited {
  readonly base: string
  readonly topic: TopicTruth
  readonly expected: WindowAccount
  readonly table: WindowTable
  readonly readFound: (found: WindowAccount) => Promise<void>
  readonly readLate: (value: Buffer) => Promise<{ key: string; timeMs: number; bytes: number }>
}

/** Compares what was written with what is in feature topics, tables, dead letters and ledger. */
export async function audit(options: AuditOptions): Promise<AuditReport> {
  const { truth } = options
  const inputs = [flowsInput(options), probesInput(options)].filter((input) => input.topic.records > 0)
  const audits: (TopicAudit & Findings)[] = []
  for (const input of inputs) audits.push(await auditTopic(options, input))
  const sum = (of: (a: Findings) => number): number => audits.reduce((total, a) => total + of(a), 0)
  const lost = sum((a) => a.lost)
  const duplicated = sum((a) => a.duplicated)
  const wrong = sum((a) => a.wrong)
  const unknown = truth.flows.unknown + truth.probes.unknown
  return {
    lost,
    duplicated,
    wrong,
    windows: audits.reduce((total, a) => total + a.kafka.windows, 0),
    records: truth.flows.records + truth.probes.records,
    unknown,
    deadLetters: addedUp(audits.map((a) => a.deadLetters)),
    late: audits.reduce((total, a) => total + a.late, 0),
    skipped: addedUp(audits.map((a) => a.skipped)),
    sound: lost + duplicated + wrong + unknown === 0,
    details: audits.flatMap((a) => a.details),
    topics: audits,
  }
}

interface Findings {
  lost: number
  duplicated: number
  wrong: number
  details: string[]
}

async function auditTopic(options: AuditOptions, input: Audited): Promise<TopicAudit & Findings> {
  const { broker, codec, topicPrefix = '', warehouse, mostDetails = 10 } = options
  const { base, expected } = input
  const { windowMs } = expected
  const letters = await auditLetters(broker, codec, topicPrefix, base, { windowMs, read: input.readLate })
  const ledger = await auditLedger(broker, codec, topicPrefix, base)
  const compare = (where: string, found: WindowAccount): WindowDifferences =>
    compareWindows({ where, expected, late: letters.late, found, mostDetails })
  const inKafka = new WindowAccount(windowMs)
  await input.readFound(inKafka)
  const kafka = compare('Kafka', inKafka)
  const inTable = warehouse === null ? null : await readWarehouse(warehouse, input.table, windowMs)
  const tables = inTable === null ? null : compare('ClickHouse', inTable)
  const bad = checkLetters(input, letters)
  const books = checkLedger(input, ledger, letters)
  const { RECORD_LATE: late = 0, ...deadLetters } = letters.byCode
  return {
    topic: base,
    kafka,
    warehouse: tables,
    ledger,
    deadLetters,
    late,
    skipped: ledger[0]?.skipped ?? {},
    // The same record may be missed in several places: the worst of them counts.
    lost: Math.max(kafka.lost, tables?.lost ?? 0, books.lost) + bad.lost,
    duplicated: Math.max(kafka.duplicated, tables?.duplicated ?? 0, books.duplicated) + bad.duplicated,
    wrong: kafka.wrong + (tables?.wrong ?? 0) + books.wrong + bad.wrong,
    details: [...kafka.details, ...(tables?.details ?? []), ...books.details, ...bad.details],
  }
}

const addedUp = (all: readonly Record<string, number>[]): Record<string, number> => {
  const total: Record<string, number> = {}
  for (const counts of all)
    for (const [name, count] of Object.entries(counts)) total[name] = (total[name] ?? 0) + count
  return total
}

/** Bad records must be the dead letters, code by code. */
function checkLetters({ base, topic }: Audited, letters: LetterAccount): Findings {
  const found: Findings = { lost: 0, duplicated: letters.duplicates, wrong: 0, details: [] }
  if (letters.duplicates > 0) found.details.push(`dlq.${base}: ${letters.duplicates} letters written twice`)
  const sent: Record<string, number> = { ...topic.bad }
  for (const code of new Set([...Object.keys(sent), ...Object.keys(letters.byCode)])) {
    if (code === 'RECORD_LATE') continue
    const difference = (letters.byCode[code] ?? 0) - (sent[code] ?? 0)
    if (difference === 0) continue
    if (difference < 0) found.lost -= difference
    else found.wrong += difference
    found.details.push(
      `dlq.${base}: ${letters.byCode[code] ?? 0} letters ${code}, ${sent[code] ?? 0} bad records`,
    )
  }
  return found
}

/** Every offset once, and the sums as they were sent. */
function checkLedger(
  { base, topic }: Audited,
  ledger: readonly LedgerAccount[],
  letters: LetterAccount,
): Findings {
  const found: Findings = { lost: 0, duplicated: 0, wrong: 0, details: [] }
  if (ledger.length === 0)
    return { ...found, lost: topic.records, details: [`audit.offsets: nobody accounts for ${base}`] }
  const { RECORD_LATE: late = 0 } = letters.byCode
  const bad = Object.values(topic.bad).reduce((sum, count) => sum + count, 0)
  for (const node of ledger) {
    found.lost = Math.max(found.lost, node.gaps)
    found.duplicated = Math.max(found.duplicated, node.overlaps)
    found.wrong += node.unbalanced
    found.details.push(...node.details)
    const check = (what: string, is: number, must: number): void => {
      if (is === must) return
      found.wrong += Math.abs(is - must)
      found.details.push(`${node.node}: ${is} ${what} of ${base} in the ledger, ${must} in fact`)
    }
    // Where records of which nothing is known may be in the log, sums prove nothing.
    if (topic.unknown > 0) continue
    const skipped = Object.values(node.skipped).reduce((sum, count) => sum + count, 0)
    check('skipped', skipped, topic.skipped)
    check('dead letters', node.deadLetters, bad)
    check('records', node.records, topic.records)
    if (ledger.length === 1) check('late', node.late, late)
  }
  return found
}

function flowsInput({ broker, codec, topicPrefix = '', truth }: AuditOptions): Audited {
  const { windowMs } = truth.streams
  const count = (found: WindowAccount, row: RecordByName['StreamFeature']): void => {
    if (row.window_end_ms - row.window_start_ms !== windowMs) return
    found.add(found.keyId(row.stream), row.window_start_ms, row.records, row.bytes)
  }
  return {
    base: FLOWS_TOPIC,
    topic: truth.flows,
    expected: truth.streams,
    table: { table: 'features_streams', key: 'stream', bytes: 'bytes' },
    readFound: (found) =>
      readTopic(broker, codec, `${topicPrefix}features.streams`, 'StreamFeature', (row) => count(found, row)),
    readLate: async (value) => {
      const flow = await codec.decodeAsync(value, 0, value.length, 'Flow')
      return { key: flow.stream, timeMs: flow.event_time_ms, bytes: flow.bytes }
    },
  }
}

function probesInput({ broker, codec, topicPrefix = '', truth }: AuditOptions): Audited {
  const { windowMs } = truth.regions
  const count = (found: WindowAccount, row: RecordByName['RegionFeature']): void => {
    if (row.window_end_ms - row.window_start_ms !== windowMs) return
    found.add(found.keyId(row.region), row.window_start_ms, row.records, 0)
  }
  return {
    base: PROBES_TOPIC,
    topic: truth.probes,
    expected: truth.regions,
    table: { table: 'features_regions', key: 'region', bytes: '0' },
    readFound: (found) =>
      readTopic(broker, codec, `${topicPrefix}features.regions`, 'RegionFeature', (row) => count(found, row)),
    readLate: async (value) => {
      const probe = await codec.decodeAsync(value, 0, value.length, 'RegionProbe')
      return { key: probe.region, timeMs: probe.event_time_ms, bytes: 0 }
    },
  }
}
