import { Buffer } from 'node:buffer'
import avro from 'avsc'
import { AVRO, type RecordByName, type RecordName } from '#schemas'
import { ForestallError, type SchemaRegistry } from '../ports/index.ts'
import { type ColumnReader, compileColumns } from './columns.ts'
import { WIRE_HEADER_BYTES, wireSchemaId, writeWireHeader } from './wire.ts'

/** Thrown by `decode` when the writer schema has not been loaded: await `load(schemaId)` and decode again. */
export class NeedsSchema extends Error {
  readonly schemaId: number
  constructor(schemaId: number) {
    super(`Schema ${schemaId} has not been loaded.`)
    this.name = 'NeedsSchema'
    this.schemaId = schemaId
  }
}

/** Records to bytes in Confluent's wire format and back, for everything that is not on the hot path. */
export interface RecordCodec {
  /** Registers each record under `<topic>-value`. Throws SCHEMA_INCOMPATIBLE. */
  prepare(topics: readonly { topic: string; record: RecordName }[]): Promise<void>
  /** Magic, schema id and body. The topic must have been prepared. Throws RECORD_INVALID if a field does not fit the schema. */
  encode<R extends RecordName>(topic: string, record: R, value: RecordByName[R]): Buffer
  /** As `encode`, without the copy: valid until the next call of either. */
  encodeView<R extends RecordName>(topic: string, record: R, value: RecordByName[R]): Buffer
  /**
   * The record in `buffer[start, end)` as today's schema has it: fields that the writer lacked have their
   * defaults. Throws NeedsSchema, or RECORD_UNDECODABLE if the bytes do not follow their schema, the schema
   * is none of ours, or (if `record` is given) is another one.
   */
  decode<R extends RecordName>(buffer: Buffer, start: number, end: number, record?: R): RecordByName[R]
  /** Fetches a writer schema, so that `decode` knows it. Throws RECORD_SCHEMA_UNKNOWN. */
  load(schemaId: number): Promise<void>
  /** `load` as needed, then `decode`. */
  decodeAsync<R extends RecordName>(
    buffer: Buffer,
    start: number,
    end: number,
    record?: R,
  ): Promise<RecordByName[R]>
  /** JSON text of a writer schema, for `compileColumns`. Throws RECORD_SCHEMA_UNKNOWN. */
  writerSchema(schemaId: number): Promise<string>
}

/** What is known of one writer schema. */
interface Writer {
  text: string
  record: RecordName | null
  /** Why records of it cannot be read; null if they can. */
  refusal: string | null
  resolver: avro.Resolver | null
  /** Walks the bytes before avsc does: avsc trusts the counts of arrays, and a wrong one never ends. */
  check: ColumnReader | null
}

const SCRATCH_BYTES = 4096

/** Our schema of a record, compiled once for the process. */
const readerTypes = new Map<RecordName, avro.Type>()
function readerType(record: RecordName): avro.Type {
  let type = readerTypes.get(record)
  if (type === undefined) {
    type = compile(AVRO[record])
    readerTypes.set(record, type)
  }
  return type
}

const compile = (text: string): avro.Type => avro.Type.forSchema(JSON.parse(text) as avro.Schema)

/** A codec on a schema registry. */
export function createCodec(registry: SchemaRegistry): RecordCodec {
  const writers = new Map<number, Writer>()
  const loading = new Map<number, Promise<void>>()
  const idByTopic = new Map<string, { id: number; record: RecordName }>()
  let scratch = Buffer.allocUnsafeSlow(SCRATCH_BYTES)

  function preparedId(topic: string, record: RecordName): number {
    const prepared = idByTopic.get(topic)
    if (prepared?.record === record) return prepared.id
    throw new ForestallError('TOPOLOGY_INVALID', `Topic ${topic} has not been prepared for ${record}.`)
  }

  function encodeView<R extends RecordName>(topic: string, record: R, value: RecordByName[R]): Buffer {
    const id = preparedId(topic, record)
    try {
      let end = readerType(record).encode(value, scratch, WIRE_HEADER_BYTES)
      if (end < 0) {
        // avsc answers with minus the bytes that were missing.
        scratch = Buffer.allocUnsafeSlow(2 * (scratch.length - end))
        end = readerType(record).encode(value, scratch, WIRE_HEADER_BYTES)
      }
      writeWireHeader(scratch, 0, id)
      return scratch.subarray(0, end)
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new ForestallError('RECORD_INVALID', `${record} for ${topic}: ${why}`, { cause })
    }
  }

  function decode<R extends RecordName>(
    buffer: Buffer,
    start: number,
    end: number,
    record?: R,
  ): RecordByName[R] {
    const id = wireSchemaId(buffer, start, end)
    if (id < 0) throw undecodable('The value does not begin with magic byte 0 and a schema id.')
    const writer = writers.get(id)
    if (writer === undefined) throw new NeedsSchema(id)
    return readWith(writer, id, buffer, start + WIRE_HEADER_BYTES, end, record) as RecordByName[R]
  }

  async function fetchSchema(id: number): Promise<void> {
    try {
      writers.set(id, describeWriter(await registry.schemaById(id)))
    } finally {
      loading.delete(id)
    }
  }

  async function load(id: number): Promise<void> {
    if (writers.has(id)) return
    const pending = loading.get(id) ?? fetchSchema(id)
    loading.set(id, pending)
    await pending
  }

  return {
    async prepare(topics) {
      await Promise.all(
        topics.map(async ({ topic, record }) => {
          const id = await registry.register(`${topic}-value`, AVRO[record])
          idByTopic.set(topic, { id, record })
          if (!writers.has(id)) writers.set(id, describeWriter(AVRO[record]))
        }),
      )
    },
    encode: (topic, record, value) => Buffer.from(encodeView(topic, record, value)),
    encodeView,
    decode,
    load,
    async decodeAsync(buffer, start, end, record) {
      const id = wireSchemaId(buffer, start, end)
      if (id >= 0) await load(id)
      return decode(buffer, start, end, record)
    },
    async writerSchema(id) {
      await load(id)
      return writers.get(id)?.text ?? ''
    },
  }
}

const undecodable = (message: string, cause?: unknown): ForestallError =>
  new ForestallError('RECORD_UNDECODABLE', message, cause === undefined ? {} : { cause })

/** Never throws: a schema that we cannot read makes its records undecodable, one by one. */
function describeWriter(text: string): Writer {
  try {
    const type = compile(text)
    const name = (type.name ?? '').replace(/^.*\./, '')
    if (!isRecordName(name)) {
      return {
        text,
        record: null,
        refusal: `it is ${name || type.typeName}, which is none of ours`,
        resolver: null,
        check: null,
      }
    }
    const resolver = readerType(name).createResolver(type)
    return { text, record: name, refusal: null, resolver, check: compileColumns(text, []) }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    return { text, record: null, refusal: why, resolver: null, check: null }
  }
}

const isRecordName = (name: string): name is RecordName => Object.hasOwn(AVRO, name)

function readWith(
  writer: Writer,
  id: number,
  buffer: Buffer,
  start: number,
  end: number,
  expected: RecordName | undefined,
): unknown {
  const { record, resolver, check } = writer
  if (record === null || resolver === null || check === null) {
    throw undecodable(`Schema ${id} cannot be read: ${writer.refusal ?? 'unknown'}.`)
  }
  if (expected !== undefined && expected !== record) {
    throw undecodable(`Schema ${id} is ${record}, expected ${expected}.`)
  }
  if (!check.read(buffer, start, end)) {
    throw undecodable(`The ${end - start} bytes after the schema id do not follow schema ${id} (${record}).`)
  }
  try {
    return readerType(record).decode(buffer, start, resolver).value
  } catch (cause) {
    throw undecodable(`The bytes do not follow schema ${id} (${record}).`, cause)
  }
}
