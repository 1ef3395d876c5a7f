import type { Buffer } from 'node:buffer'
import type { TableSpec } from '#schemas'
import type { RecordCursor } from '../ports/index.ts'
import { parseColumnType } from './column-type.ts'
import type { RowBytes } from './row-bytes.ts'
import {
  type AvroNode,
  copyKafka,
  copyValue,
  HELPERS,
  NotTranscodable,
  type SymbolTable,
} from './transcoder-source.ts'

/**
 * Turns the Avro body in the cursor's `buffer[start, end)` into a row of RowBinary, in place: no object per record.
 * False if the bytes do not follow the schema, or hold what the general encoder has to look at; `out` is then as it was.
 */
export type Transcode = (out: RowBytes, cursor: RecordCursor, start: number, end: number) => boolean

type Row = (
  b: Buffer,
  p: number,
  e: number,
  from: DataView,
  o: Uint8Array,
  w: number,
  view: DataView,
  partition: number,
  offset: number,
  timestamp: number,
  key: number,
  keyEnd: number,
) => number

/** A byte of Avro becomes at most eight of RowBinary, or a symbol of an enum. */
const EXPANSION = 8
const FIXED_BYTES = 256

/**
 * Compiles a table for one writer schema (JSON text): straight-line code from the fields in the order in which they
 * are written to the columns. Null if columns come in another order, or hold what only the general encoder writes
 * (JSON text, maps, fields that the writer lacks).
 */
export function compileTranscoder(table: TableSpec, writerSchemaJson: string): Transcode | null {
  const symbols: SymbolTable = []
  let body: string
  try {
    body = rowCode(table, JSON.parse(writerSchemaJson) as AvroNode, symbols)
  } catch (error) {
    if (error instanceof NotTranscodable) return null
    throw error
  }
  const source = `${HELPERS}
return function (b, p, e, from, o, w, view, partition, offset, timestamp, key, keyEnd) {
let n = 0, t = null, high = 0;
${body}
return p === e ? w : -1;
}`
  // oxlint-disable-next-line typescript/no-implied-eval -- the text holds numbers and the code of transcoder-source.ts, no text of a schema
  const row = new Function('symbols', source)(symbols) as Row
  const longest = Math.max(0, ...symbols.flat().map((symbol) => symbol.length))
  return runRow(row, Math.max(EXPANSION, longest))
}

function runRow(row: Row, expansion: number): Transcode {
  let seen: Buffer | null = null
  let from: DataView = new DataView(new ArrayBuffer(0))
  return (out, cursor, start, end) => {
    const { buffer, keyStart, keyLength } = cursor
    if (buffer !== seen) {
      seen = buffer
      from = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
    }
    const at = out.reserve((end - start) * expansion + Math.max(0, keyLength) + FIXED_BYTES)
    const { partition, offset, timestampMs } = cursor
    const key = keyStart
    const to = row(
      buffer,
      start,
      end,
      from,
      out.buffer,
      at,
      out.view,
      partition,
      offset,
      timestampMs,
      key,
      key + keyLength,
    )
    if (to < 0) return false
    out.advance(to)
    return true
  }
}

/** A field and its path, nested records taken apart. */
interface Field {
  readonly path: string
  readonly node: AvroNode
}

function fieldsOf(node: AvroNode, path = ''): Field[] {
  if (typeof node !== 'object' || Array.isArray(node) || (node as { type: AvroNode }).type !== 'record') {
    throw new NotTranscodable('no record')
  }
  const { fields } = node as unknown as { fields: { name: string; type: AvroNode }[] }
  return fields.flatMap(({ name, type }) => {
    const at = path === '' ? name : `${path}.${name}`
    const nested =
      typeof type === 'object' && !Array.isArray(type) && (type as { type: AvroNode }).type === 'record'
    return nested ? fieldsOf(type, at) : [{ path: at, node: type }]
  })
}

function rowCode(table: TableSpec, schema: AvroNode, symbols: SymbolTable): string {
  const fields = fieldsOf(schema)
  let next = 0
  const code: string[] = []
  for (const column of table.columns) {
    const type = parseColumnType(column.type)
    if (column.from.startsWith('@')) {
      code.push(copyKafka(column.from, type))
      continue
    }
    const at = fields.findIndex((field) => field.path === column.from)
    if (at < next) throw new NotTranscodable(column.name)
    for (; next < at; next++) code.push(copyValue((fields[next] as Field).node, null, symbols))
    code.push(copyValue((fields[next++] as Field).node, type, symbols))
  }
  for (; next < fields.length; next++) code.push(copyValue((fields[next] as Field).node, null, symbols))
  return code.join('\n')
}
