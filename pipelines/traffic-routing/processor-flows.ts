import {
  type ColumnReader,
  compileColumns,
  type RecordCodec,
  WIRE_HEADER_BYTES,
  wireSchemaId,
} from '#core/codec'
import { isError, type RecordCursor } from '#core/ports'
import type { Emit } from './processor.ts'

/**
 * Reads the stream of `telemetry.flows` records in place, whatever their key (exporters may send none). Null: the
 * value is no Flow; the feature topology sends those to the dead letters.
 */
export function createFlowStreams(
  codec: RecordCodec,
): (cursor: RecordCursor) => string | null | Promise<string | null> {
  /** By schema id; null: cannot be read as a Flow. */
  const readers = new Map<number, ColumnReader | null>()

  function read(cursor: RecordCursor, reader: ColumnReader | null): string | null {
    const { buffer, valueStart, valueLength } = cursor
    const isRead = reader?.read(buffer, valueStart + WIRE_HEADER_BYTES, valueStart + valueLength) === true
    return isRead ? buffer.toString('utf8', reader.starts[0], reader.ends[0]) : null
  }

  async function load(id: number): Promise<ColumnReader | null> {
    try {
      return compileColumns(await codec.writerSchema(id), ['stream'])
    } catch (e) {
      if (isError(e, 'RECORD_SCHEMA_UNKNOWN') || isError(e, 'RECORD_UNDECODABLE')) return null
      throw e
    }
  }

  return (cursor) => {
    const { buffer, valueStart, valueLength } = cursor
    const id = valueLength < 0 ? -1 : wireSchemaId(buffer, valueStart, valueStart + valueLength)
    if (id < 0) return null
    const reader = readers.get(id)
    if (reader !== undefined) return read(cursor, reader)
    return load(id).then((loaded) => {
      readers.set(id, loaded)
      return read(cursor, loaded)
    })
  }
}

/**
 * The plainest way to process a record: it goes on unchanged to the same partition of `topic`, with the region in a
 * header, so that what follows sees each record once, whoever processed it.
 */
export function forwardTo(
  topic: string,
  region: string,
): (cursor: RecordCursor, stream: string, emit: Emit) => void {
  const header = [['forestall.region', Buffer.from(region)]] as const
  return (cursor, _stream, emit) => {
    const { buffer, keyStart, keyLength, valueStart, valueLength } = cursor
    const key = keyLength < 0 ? null : buffer.subarray(keyStart, keyStart + keyLength)
    const value = valueLength < 0 ? null : buffer.subarray(valueStart, valueStart + valueLength)
    emit(topic, cursor.partition, cursor.timestampMs, key, value, header)
  }
}
