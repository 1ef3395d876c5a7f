import { Buffer } from 'node:buffer'
import { readLatest } from '#core/codec'
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
  const value = (await readLatest(broker, topic)).get(source)
  return (value === undefined ? null : parse(value.toString())) ?? LOG_START
}

function parse(text: string): LogCursor | null {
  try {
    const { atUs, queryId } = JSON.parse(text) as Partial<LogCursor>
    return typeof atUs === 'string' && typeof queryId === 'string' ? { atUs, queryId } : null
  } catch {
    return null
  }
}
