import { ForestallError, type RecordCursor } from '#core/ports'
import type { ColumnSpec, TableSpec } from '#schemas'
import { compileCell, type WriteCell } from './row-binary.ts'
import type { RowBytes } from './row-bytes.ts'

/** Writes the rows of one table. */
export interface RowEncoder {
  /** Names of the columns, in the order in which they are written. */
  readonly columns: readonly string[]
  /** True if the table keeps tombstones: records without a value. */
  readonly keepsTombstones: boolean
  /**
   * Appends the row of the cursor's record; `record` is the decoded value, null for a tombstone. Throws
   * RECORD_INVALID with the column if a value does not fit, and leaves `out` as it was.
   */
  encode(out: RowBytes, record: object | null, cursor: RecordCursor): void
}

type WriteColumn = (out: RowBytes, record: object | null, cursor: RecordCursor) => void

/** Compiles a table. `topicPrefix` (of a replay) is not written into `@topic` columns. Throws CONFIG_INVALID. */
export function compileRows(table: TableSpec, topicPrefix = ''): RowEncoder {
  const columns = table.columns.map((column) => column.name)
  const writers = table.columns.map((column) => compileColumn(column, topicPrefix))
  return {
    columns,
    keepsTombstones: table.columns.some((column) => column.from === '@tombstone'),
    encode(out, record, cursor) {
      const start = out.length
      let at = 0
      try {
        for (; at < writers.length; at++) writers[at]?.(out, record, cursor)
      } catch (cause) {
        out.rewind(start)
        const why = cause instanceof Error ? cause.message : String(cause)
        const message = `${table.name}.${columns[at]}: ${why}`
        throw new ForestallError('RECORD_INVALID', message, { cause })
      }
    },
  }
}

function compileColumn({ name, type, from }: ColumnSpec, topicPrefix: string): WriteColumn {
  const write = compileCell(type)
  if (from.startsWith('@json:')) {
    const read = compilePath(from.slice('@json:'.length))
    return (out, record) => write(out, jsonText(read(record)))
  }
  if (!from.startsWith('@')) {
    const read = compilePath(from)
    return (out, record) => write(out, read(record))
  }
  switch (from) {
    case '@topic':
      return (out, _, cursor) => write(out, cursor.topic.slice(topicPrefix.length))
    case '@partition':
      return (out, _, cursor) => write(out, cursor.partition)
    case '@offset':
      return (out, _, cursor) => write(out, cursor.offset)
    case '@timestamp':
      return (out, _, cursor) => write(out, cursor.timestampMs)
    case '@tombstone':
      return (out, _, cursor) => write(out, cursor.valueLength < 0)
    case '@key':
      return keyWriter(type, write)
    default:
      throw new ForestallError('CONFIG_INVALID', `Column ${name} comes from ${from}, which is unknown.`)
  }
}

function keyWriter(type: string, write: WriteCell): WriteColumn {
  const plain = type === 'String' || type === 'LowCardinality(String)'
  return (out, _, { buffer, keyStart, keyLength }) => {
    if (keyLength < 0) write(out, null)
    else if (plain) out.range(buffer, keyStart, keyStart + keyLength)
    else write(out, buffer.subarray(keyStart, keyStart + keyLength))
  }
}

/** Follows a dotted path; undefined where a record on the way is null. */
function compilePath(path: string): (record: object | null) => unknown {
  const [first = '', ...rest] = path.split('.')
  if (rest.length === 0) return (record) => (record as Record<string, unknown> | null)?.[first]
  return (record) => {
    let value = (record as Record<string, unknown> | null)?.[first]
    for (const name of rest) value = (value as Record<string, unknown> | null | undefined)?.[name]
    return value
  }
}

const jsonText = (value: unknown): string | null =>
  value === undefined || value === null ? null : JSON.stringify(value)
