import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import { murmur3 } from '#core/math'
import { type Broker, ForestallError, type TransactionalProducer } from '#core/ports'
import { addCursor, CURSOR_TOPIC, readCursor } from './cursor-log.ts'
import { type LogRow, normalise, type QueryRule } from './rules.ts'
import type { LogCursor } from './table.ts'

/** What has been done with rows so far. */
export interface QueryLogCounters {
  readonly rows: number
  readonly records: number
  /** Rows that became no record, by reason. */
  readonly skipped: Readonly<Record<string, number>>
  readonly commits: number
}

/** Where rows go: `logs.queries`, with the place in the log in the same transaction. */
export interface QueryLogOutput {
  /** The place that stands for the source. */
  cursor(): Promise<LogCursor>
  /** Writes what the rows become, and where they end, all or nothing. Throws PRODUCER_FENCED. */
  write(rows: readonly LogRow[], cursor: LogCursor, nowMs: number): Promise<void>
  /** Undoes what a failed `write` left. Throws PRODUCER_FENCED; anything else is left to the next `write`. */
  undo(): Promise<void>
  counters(): QueryLogCounters
  close(): Promise<void>
}

/** What an output needs to know. */
export interface QueryLogOutputOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** Keeps the place in the log, and is the `origin` of the records. */
  readonly source: string
  readonly rules: readonly QueryRule[]
  /** Prefix of the topics. */
  readonly prefix: string
}

const TOPIC = 'logs.queries'

/** Becomes the only writer of a source; an older one is fenced. Throws NOT_FOUND if the topic does not exist. */
export async function openQueryLogOutput(options: QueryLogOutputOptions): Promise<QueryLogOutput> {
  const { broker, codec, source, rules, prefix } = options
  const topic = `${prefix}${TOPIC}`
  const cursors = `${prefix}${CURSOR_TOPIC}`
  const partitions = await partitionCount(broker, topic)
  await codec.prepare([{ topic, record: 'QueryLog' }])
  const producer = broker.transactionalProducer({ transactionalId: `forestall-query-log-${prefix}${source}` })
  await producer.init()
  const counters = { rows: 0, records: 0, skipped: {} as Record<string, number>, commits: 0 }

  function add(row: LogRow, to: Pick<TransactionalProducer, 'add'>): string | null {
    const record = normalise(row, rules, source)
    if ('skip' in record) return record.skip
    const key = Buffer.from(record.pattern)
    const value = codec.encode(topic, 'QueryLog', record)
    to.add(topic, murmur3(key, 0, key.length) % partitions, record.event_time_ms, key, value)
    return null
  }

  return {
    cursor: () => readCursor(broker, cursors, source),
    async write(rows, cursor, nowMs) {
      const skipped = rows.map((row) => add(row, producer)).filter((reason) => reason !== null)
      addCursor(producer, cursors, source, cursor, nowMs)
      await producer.commit()
      counters.rows += rows.length
      counters.records += rows.length - skipped.length
      counters.commits++
      for (const reason of skipped) counters.skipped[reason] = (counters.skipped[reason] ?? 0) + 1
    },
    undo: () => producer.abort(),
    counters: () => ({ ...counters, skipped: { ...counters.skipped } }),
    close: () => producer.close(),
  }
}

async function partitionCount(broker: Broker, topic: string): Promise<number> {
  const admin = broker.admin()
  try {
    const partitions = (await admin.partitions([topic])).get(topic)
    if (partitions === undefined) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
    return partitions
  } finally {
    await admin.close()
  }
}
