import { Buffer } from 'node:buffer'
import type { Broker, TransactionalProducer } from '#core/ports'
import { type LogCursor, LOG_START } from './table.ts'

/** Where cursors are kept, one record a source; written in the transaction of the rows that they follow. */
export const CURSOR_TOPIC = 'state.query-log'

/** Adds a cursor to the open transaction. */
export function addCursor(
  producer: Pick<TransactionalProducer, 'add'>,
  topic: string,
  source: string,
  cursor: LogCursor,
  nowMs: number,
): void {
  producer.add(topic, 0, nowMs, Buffer.from(source), Buffer.from(JSON.stringify(cursor)))
}

/** The cursor that stands for a source. Read after the producer's `init`: then no older poller can write another. */
export async function readCursor(broker: Broker, topic: string, source: string): Promise<LogCursor> {
  let cursor = LOG_START
  const reader = broker.readPartitions({
    partitions: [{ topic, partition: 0, from: 'earliest' }],
    until: 'end',
    onBatch(batch) {
      while (batch.next()) {
        const { buffer, keyStart, keyLength, valueStart, valueLength } = batch
        if (keyLength < 0 || buffer.toString('utf8', keyStart, keyStart + keyLength) !== source) continue
        if (valueLength < 0) cursor = LOG_START
        else cursor = parse(buffer.toString('utf8', valueStart, valueStart + valueLength)) ?? cursor
      }
    },
  })
  try {
    await reader.done
  } finally {
    await reader.close()
  }
  return cursor
}

function parse(text: string): LogCursor | null {
  try {
    const { atUs, queryId } = JSON.parse(text) as Partial<LogCursor>
    return typeof atUs === 'string' && typeof queryId === 'string' ? { atUs, queryId } : null
  } catch {
    return null
  }
}
