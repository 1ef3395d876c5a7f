import type { Buffer } from 'node:buffer'
import { AVRO, type RecordName } from '../../../schemas/index.ts'
import {
  type ColumnReader,
  compileColumns,
  type RecordCodec,
  WIRE_HEADER_BYTES,
  wireSchemaId,
} from '../codec/index.ts'
import { isError } from '../ports/index.ts'

export type { ColumnReader } from '../codec/index.ts'

/** Reads the values of one record type in wire format; schemas are fetched once, by id. */
export interface RecordReader<Decoded = ColumnReader> {
  /** The schema id that must be loaded before this value can be read, or -1. */
  missingSchema(buffer: Buffer, valueStart: number, valueLength: number): number
  /** Fetches a schema. An id that the registry does not have is remembered as such; a registry that is down rejects. */
  load(id: number): Promise<void>
  /** The decoded value, or in words why it cannot be (`schema ...` if the schema is unknown). */
  read(buffer: Buffer, valueStart: number, valueLength: number): Decoded | string
}

/** Makes readers for the records of a topology. */
export interface RecordReaders {
  /** Reads the wanted fields in place. */
  inPlace(record: RecordName, fields: readonly string[]): RecordReader
  /** Decodes whole records: for the low rates behind the windows. */
  objects(record: RecordName): RecordReader<object>
}

/** Readers over a codec, which fetches writer schemas from the registry. */
export function createRecordReaders(codec: RecordCodec): RecordReaders {
  return {
    inPlace: (record, fields) => reader(codec, (text) => columnDecoder(text, record, fields)),
    objects: (record) => reader(codec, () => objectDecoder(codec, record)),
  }
}

type Decode<Decoded> = (buffer: Buffer, start: number, end: number) => Decoded | undefined

function reader<Decoded extends object>(
  codec: RecordCodec,
  compile: (schemaText: string) => Decode<Decoded>,
): RecordReader<Decoded> {
  /** null: the registry has no such schema; text: why it cannot be read as this record. */
  const decoders = new Map<number, Decode<Decoded> | string | null>()
  /** Records of one schema come one after another: the last one is kept at hand. */
  let lastId = -1
  let lastDecode: Decode<Decoded> | undefined
  const decoderOf = async (id: number): Promise<Decode<Decoded> | string | null> => {
    try {
      return compile(await codec.writerSchema(id))
    } catch (error) {
      if (isError(error, 'RECORD_SCHEMA_UNKNOWN')) return null
      if (isError(error, 'RECORD_UNDECODABLE')) return error.message
      throw error
    }
  }
  return {
    missingSchema(buffer, start, length) {
      const id = wireSchemaId(buffer, start, start + length)
      return id === lastId || id < 0 || decoders.has(id) ? -1 : id
    },
    async load(id) {
      decoders.set(id, await decoderOf(id))
    },
    read(buffer, start, length) {
      const id = wireSchemaId(buffer, start, start + length)
      if (id < 0) return 'no Confluent wire header (magic byte 0 and a schema id)'
      if (id !== lastId || lastDecode === undefined) {
        const decode = decoders.get(id)
        if (decode === null || decode === undefined) return `schema ${id} is not in the registry`
        if (typeof decode === 'string') return decode
        lastId = id
        lastDecode = decode
      }
      return (
        lastDecode(buffer, start + WIRE_HEADER_BYTES, start + length) ??
        `the bytes do not follow schema ${id}`
      )
    },
  }
}

function columnDecoder(text: string, record: RecordName, fields: readonly string[]): Decode<ColumnReader> {
  const columns = compileColumns(text, fields, defaultsOf(record))
  return (buffer, start, end) => (columns.read(buffer, start, end) ? columns : undefined)
}

function objectDecoder(codec: RecordCodec, record: RecordName): Decode<object> {
  return (buffer, start, end) => {
    try {
      return codec.decode(buffer, start - WIRE_HEADER_BYTES, end, record)
    } catch {
      return undefined
    }
  }
}

/** Defaults of our own schema: what older writers that lack a field mean. */
function defaultsOf(record: RecordName): Record<string, number | string> {
  const schema = JSON.parse(AVRO[record]) as { fields: { name: string; default?: unknown }[] }
  const defaults: Record<string, number | string> = {}
  for (const field of schema.fields) {
    if (typeof field.default === 'number' || typeof field.default === 'string')
      defaults[field.name] = field.default
    else if (typeof field.default === 'boolean') defaults[field.name] = field.default ? 1 : 0
  }
  return defaults
}
