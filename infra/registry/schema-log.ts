import { Buffer } from 'node:buffer'
import type { Broker, TransactionalProducer } from '#core/ports'

/** A key of the log and its newest value; null: deleted. */
export interface LogEntry {
  readonly key: string
  readonly value: string | null
}

/** Where a registry keeps what it knows: a log that is compacted by key, with one writer. */
export interface SchemaLog {
  /** Becomes the only writer (an older one is fenced), then reads the whole log. */
  open(): Promise<LogEntry[]>
  /** Appends all or nothing. Throws PRODUCER_FENCED once a newer writer has opened the log. */
  append(entries: readonly LogEntry[]): Promise<void>
  close(): Promise<void>
}

async function readAll(broker: Broker, topic: string): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic, partition: 0, from: 'earliest' }],
    readCommitted: true,
    until: 'end',
    onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
        const key = buffer.toString('utf8', keyStart, keyStart + keyLength)
        const value = valueLength < 0 ? null : buffer.toString('utf8', valueStart, valueStart + valueLength)
        entries.push({ key, value })
      }
    },
  })
  await reader.done
  await reader.close()
  return entries
}

/**
 * The log as a compacted topic of one partition. The transactional id makes it a single writer: opening it
 * fences who held it before, and it is read up to the uncommitted end only after that, so nothing that an
 * older writer committed can be missed and nothing it has left open can appear later.
 */
export function brokerSchemaLog(broker: Broker, topic: string): SchemaLog {
  let producer: TransactionalProducer | undefined
  const close = async (): Promise<void> => {
    const old = producer
    producer = undefined
    await old?.close()
  }
  return {
    close,
    async open() {
      await close()
      const admin = broker.admin()
      await admin.ensureTopics([{ name: topic, partitions: 1, configs: { 'cleanup.policy': 'compact' } }])
      await admin.close()
      producer = broker.transactionalProducer({ transactionalId: `forestall-registry-${topic}` })
      await producer.init()
      return readAll(broker, topic)
    },
    async append(entries) {
      if (!producer) throw new Error('the schema log is not open')
      for (const { key, value } of entries) {
        producer.add(topic, 0, Date.now(), Buffer.from(key), value === null ? null : Buffer.from(value))
      }
      await producer.commit()
    },
  }
}
