import { Buffer } from 'node:buffer'
import { ForestallError } from '../ports/index.ts'
import { createSourceWriter, type Wanted } from './columns-source.ts'
import { type RecordShape, recordShape, type Shape } from './schema-shape.ts'

/** How a field is handed out: as a number, or as a range of bytes. */
type ColumnKind = 'number' | 'bytes'

/** Reads the wanted fields of one record after the other, in place. Slot i belongs to `fields[i]`. */
export interface ColumnReader {
  /**
   * Reads the Avro body in `buffer[start, end)`. False if the bytes do not follow the writer schema to
   * the last byte; the slots are then undefined. Nothing is allocated.
   */
  read(buffer: Buffer, start: number, end: number): boolean
  /** Numbers; booleans as 0 and 1, enums as the index of the symbol, null as NaN. A long beyond 2^53 is rounded. */
  readonly numbers: Float64Array
  /** First byte of a string, bytes or fixed field in the buffer given to `read`; -1 for null. */
  readonly starts: Int32Array
  /** End of the bytes, exclusive; -1 for null. */
  readonly ends: Int32Array
  /** For a bytes field that the writer lacks: its default, which `starts` and `ends` then point into. Null otherwise. */
  readonly fallbacks: readonly (Buffer | null)[]
  /** The kind of a wanted field. Throws RangeError for others. */
  kind(field: string): ColumnKind
}

type Read = (
  buffer: Buffer,
  start: number,
  end: number,
  view: DataView,
  numbers: Float64Array,
  starts: Int32Array,
  ends: Int32Array,
) => boolean

/**
 * Compiles a reader for one writer schema (JSON text). `fields` are names, or dotted paths into nested
 * records (`reason.risk`), through nullable unions too. A field that the writer lacks takes its value from
 * `defaults` (number; string = bytes as UTF-8). Throws RECORD_UNDECODABLE if it has none there either, or
 * lies in an array or map, or is itself not a number, string, bytes, fixed, boolean or enum.
 */
export function compileColumns(
  writerSchemaJson: string,
  fields: readonly string[],
  defaults: Readonly<Record<string, number | string>> = {},
): ColumnReader {
  const shape = recordShape(writerSchemaJson)
  const numbers = new Float64Array(fields.length)
  const starts = new Int32Array(fields.length)
  const ends = new Int32Array(fields.length)
  const fallbacks: (Buffer | null)[] = fields.map(() => null)
  const kinds = new Map<string, ColumnKind>()
  const wanted: Wanted = new Map()
  fields.forEach((field, slot) => {
    if (kinds.has(field)) throw new RangeError(`Field ${field} is wanted twice.`)
    const path = field.split('.')
    const found = kindAt(shape, path)
    if (found === null) kinds.set(field, useDefault(field, slot))
    else {
      kinds.set(field, found)
      want(wanted, path, slot)
    }
  })

  function useDefault(field: string, slot: number): ColumnKind {
    const value = Object.hasOwn(defaults, field) ? defaults[field] : undefined
    if (value === undefined) {
      throw new ForestallError(
        'RECORD_UNDECODABLE',
        `The writer schema has no field ${field}, and it has no default.`,
      )
    }
    if (typeof value === 'number') {
      numbers[slot] = value
      return 'number'
    }
    const bytes = Buffer.from(value)
    fallbacks[slot] = bytes
    ends[slot] = bytes.length
    return 'bytes'
  }

  const walk = compileRead(shape, wanted)
  // The records of a batch share one buffer: its view is made once.
  let viewed: Buffer | null = null
  let view: DataView = new DataView(new ArrayBuffer(0))
  return {
    read(buffer, start, end) {
      if (start < 0 || end > buffer.length || start > end) return false
      if (buffer !== viewed) {
        viewed = buffer
        view = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
      }
      return walk(buffer, start, end, view, numbers, starts, ends)
    },
    numbers,
    starts,
    ends,
    fallbacks,
    kind(field) {
      const kind = kinds.get(field)
      if (kind === undefined) throw new RangeError(`Field ${field} is not among the wanted ones.`)
      return kind
    },
  }
}

function compileRead(shape: RecordShape, wanted: Wanted): Read {
  const writer = createSourceWriter()
  const body = writer.readBody(shape, wanted)
  const source = `'use strict';\n${writer.functions()}\nreturn function read(b, p, e, view, numbers, starts, ends) {\n${body}\n}`
  // oxlint-disable-next-line typescript/no-implied-eval -- the code holds numbers counted from the schema, no text of it
  return (new Function(source) as () => Read)()
}

function want(wanted: Wanted, path: readonly string[], slot: number): void {
  const [name = '', ...rest] = path
  if (rest.length === 0) {
    wanted.set(name, slot)
    return
  }
  let inner = wanted.get(name)
  if (!(inner instanceof Map)) {
    inner = new Map()
    wanted.set(name, inner)
  }
  want(inner, rest, slot)
}

/** The kind of the field at a path; null if the writer lacks it. */
function kindAt(shape: Shape, path: readonly string[]): ColumnKind | null {
  const [name, ...rest] = path
  if (shape.kind === 'union') return kindOfUnion(shape.branches, path)
  if (name === undefined) return leafKind(shape)
  if (shape.kind !== 'record') throw unreadable(`${shape.kind} lies on the path to ${path.join('.')}`)
  const field = shape.fields.find((f) => f.name === name)
  return field === undefined ? null : kindAt(field.shape, rest)
}

function kindOfUnion(branches: readonly Shape[], path: readonly string[]): ColumnKind | null {
  const kinds = new Set(branches.filter((b) => b.kind !== 'null').map((b) => kindAt(b, path)))
  const [only, ...others] = kinds
  if (only === undefined || others.length > 0) throw unreadable('a union mixes kinds')
  return only
}

function leafKind(shape: Shape): ColumnKind {
  switch (shape.kind) {
    case 'bytes':
    case 'fixed':
      return 'bytes'
    case 'boolean':
    case 'int':
    case 'long':
    case 'float':
    case 'double':
    case 'enum':
      return 'number'
    default:
      throw unreadable(`${shape.kind} is no column`)
  }
}

const unreadable = (why: string): ForestallError =>
  new ForestallError('RECORD_UNDECODABLE', `A wanted field cannot be read from the writer schema: ${why}.`)
