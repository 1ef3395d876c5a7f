import { Buffer } from 'node:buffer'
import { isError, type RecordCursor } from '#core/ports'
import type { RecordCodec } from '../codec/index.ts'
import { NeedsSchema, wireSchemaId } from '../codec/index.ts'
import type { SinkCounters } from './counters.ts'
import type { TableLane } from './table-lane.ts'

/**
 * Decodes the value in `buffer[start, end)`. What it throws makes the record undecodable, except
 * REGISTRY_FAILED, which is tried again.
 */
export interface Decode {
  (topic: string, buffer: Buffer, start: number, end: number): object | Promise<object>
  /** JSON text of a writer schema: with it, plain records become rows without being decoded. Throws RECORD_SCHEMA_UNKNOWN. */
  writerSchema?(schemaId: number): Promise<string>
}

/** A record that the sink could not use; its bytes are copies. */
export interface UndecodableRecord {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer
  readonly error: Error
}

/** Decodes with a codec; unknown writer schemas are fetched on the way. */
export function decodeWith(codec: RecordCodec): Decode {
  const decode = (_topic: string, buffer: Buffer, start: number, end: number) => {
    try {
      return codec.decode(buffer, start, end)
    } catch (error) {
      if (error instanceof NeedsSchema) return codec.decodeAsync(buffer, start, end)
      throw error
    }
  }
  return Object.assign(decode, { writerSchema: (id: number) => codec.writerSchema(id) })
}

/** What `readBatch` needs. */
export interface InputDeps {
  readonly decode: Decode
  readonly counters: SinkCounters
  onUndecodable(record: UndecodableRecord): void | Promise<void>
}

/** Header of the progress marks that the runtime writes: records with neither key nor value. */
const MARK_HEADER = Buffer.from('forestall.mark')

/** Puts the records of a batch into the lanes of their topic. Throws only what should be tried again. */
export async function readBatch(
  cursor: RecordCursor,
  partitionKey: string,
  lanes: readonly TableLane[],
  deps: InputDeps,
): Promise<void> {
  const { counters } = deps
  const only = lanes.length === 1 && deps.decode.writerSchema !== undefined ? lanes[0] : undefined
  while (cursor.next()) {
    counters.records++
    if (only !== undefined && cursor.valueLength > 0) {
      const { valueStart, valueLength } = cursor
      if (only.transcode(cursor, valueStart, valueStart + valueLength, partitionKey)) continue
      const id = wireSchemaId(cursor.buffer, valueStart, valueStart + valueLength)
      // Awaiting every record would cost a turn of the event loop each.
      if (id >= 0 && !only.knows(id)) await learn(id, only, deps.decode)
    }
    if (cursor.valueLength < 0 && isMark(cursor)) {
      counters.marks++
      continue
    }
    try {
      let record: object | null = null
      if (cursor.valueLength >= 0) {
        const { valueStart, valueLength } = cursor
        const decoded = deps.decode(cursor.topic, cursor.buffer, valueStart, valueStart + valueLength)
        record = decoded instanceof Promise ? await decoded : decoded
      }
      append(record, cursor, partitionKey, lanes, counters)
    } catch (error) {
      if (isError(error, 'REGISTRY_FAILED')) throw error
      counters.undecodable++
      await deps.onUndecodable(copyOf(cursor, error as Error))
    }
  }
}

/** A schema that is new to the lane: its records are transcoded from the next one on. A registry that is down is met while decoding. */
async function learn(schemaId: number, lane: TableLane, decode: Decode): Promise<void> {
  const text = await decode.writerSchema?.(schemaId).catch(() => undefined)
  if (text !== undefined) lane.learn(schemaId, text)
}

function append(
  record: object | null,
  cursor: RecordCursor,
  partitionKey: string,
  lanes: readonly TableLane[],
  counters: SinkCounters,
): void {
  for (const lane of lanes) {
    if (record === null && !lane.keepsTombstones) counters.tombstonesSkipped++
    else lane.append(record, cursor, partitionKey)
  }
}

function copyOf(cursor: RecordCursor, error: Error): UndecodableRecord {
  const { topic, partition, offset, timestampMs, buffer, keyStart, keyLength, valueStart, valueLength } =
    cursor
  const copy = (start: number, length: number) =>
    Buffer.from(buffer.subarray(start, start + Math.max(0, length)))
  return {
    topic,
    partition,
    offset,
    timestampMs,
    key: keyLength < 0 ? null : copy(keyStart, keyLength),
    value: copy(valueStart, valueLength),
    error,
  }
}

function isMark(cursor: RecordCursor): boolean {
  if (cursor.keyLength >= 0) return false
  const { buffer, headersStart, recordEnd } = cursor
  return buffer.subarray(headersStart, recordEnd).includes(MARK_HEADER)
}
