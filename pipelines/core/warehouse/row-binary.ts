import { ForestallError } from '#core/ports'
import { type ColumnType, parseColumnType } from './column-type.ts'
import type { RowBytes } from './row-bytes.ts'

/** Writes one value; null and undefined become the default of the type (NULL if it is Nullable). */
export type WriteCell = (out: RowBytes, value: unknown) => void

/** What DateTime64 can hold, ms: 1900-01-01 to 2299-12-31. */
const EARLIEST_MS = -2_208_988_800_000
const LATEST_MS = 10_413_791_999_999

/**
 * Compiles the writer of a ClickHouse type in RowBinary, so that no type is looked at per cell. Known:
 * String (strings; bytes as they are), Bool, (U)Int8..64, Float32, Float64, DateTime, DateTime64(0..9)
 * (from ms since 1970; moved into the range of the type), Nullable, LowCardinality, Array, Map, Tuple (from
 * arrays or objects), Nested. Throws CONFIG_INVALID for others. Writers throw RECORD_INVALID for a value
 * that is not of the type.
 */
export function compileCell(type: string): WriteCell {
  return compile(parseColumnType(type), type)
}

function compile(type: ColumnType, text: string): WriteCell {
  const { name } = type
  const arg = (index: number): WriteCell => {
    const inner = type.args[index]
    if (inner === undefined) throw unknown(text)
    return compile(inner, text)
  }
  const simple = SIMPLE[name]
  if (simple !== undefined) return simple
  const integer = /^(U?)Int(8|16|32|64)$/.exec(name)
  if (integer !== null) return integerWriter(name, integer[1] === '', Number(integer[2]))
  switch (name) {
    case 'LowCardinality':
      return arg(0)
    case 'Nullable':
      return nullableWriter(arg(0))
    case 'DateTime64':
      return dateTime64Writer(Number(type.args[0]?.name ?? 3))
    case 'Array':
      return arrayWriter(arg(0))
    case 'Map':
      return mapWriter(arg(0), arg(1))
    case 'Tuple':
      return tupleWriter(type, text)
    case 'Nested':
      return arrayWriter(tupleWriter(type, text))
    default:
      throw unknown(text)
  }
}

const unknown = (text: string): ForestallError =>
  new ForestallError('CONFIG_INVALID', `Columns of type ${text} cannot be written.`)

function wrong(type: string, value: unknown): ForestallError {
  const plain = typeof value === 'number' || typeof value === 'string' || typeof value === 'boolean'
  const shown = plain ? `${typeof value} ${String(value).slice(0, 40)}` : `a value of type ${typeof value}`
  return new ForestallError('RECORD_INVALID', `expected ${type}, got ${shown}`)
}

const numberOf = (type: string, value: unknown): number => {
  if (typeof value === 'number') return value
  if (value === null || value === undefined) return 0
  if (typeof value === 'bigint') return Number(value)
  throw wrong(type, value)
}

const SIMPLE: Record<string, WriteCell> = {
  String: (out, value) => {
    if (typeof value === 'string') out.text(value)
    else if (value === null || value === undefined) out.u8(0)
    else if (value instanceof Uint8Array) out.range(value, 0, value.length)
    else throw wrong('String', value)
  },
  Bool: (out, value) => {
    if (typeof value === 'boolean') out.u8(value ? 1 : 0)
    else if (value === null || value === undefined) out.u8(0)
    else throw wrong('Bool', value)
  },
  Float32: (out, value) => out.f32(numberOf('Float32', value)),
  Float64: (out, value) => out.f64(numberOf('Float64', value)),
  DateTime: (out, value) => {
    const seconds = Math.floor(milliseconds('DateTime', value) / 1000)
    out.u32(Math.min(Math.max(seconds, 0), 0xffff_ffff))
  },
}

function integerWriter(name: string, signed: boolean, bits: number): WriteCell {
  const low = signed ? -(2 ** (bits - 1)) : 0
  const high = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1
  if (bits === 64) return wideWriter(name, signed)
  return (out, value) => {
    const number = numberOf(name, value)
    if (!Number.isInteger(number) || number < low || number > high) throw wrong(name, value)
    if (bits === 8) out.u8(number)
    else if (bits === 16) out.u16(number)
    else out.u32(number)
  }
}

function wideWriter(name: string, signed: boolean): WriteCell {
  return (out, value) => {
    if (typeof value === 'bigint') {
      if ((signed ? BigInt.asIntN(64, value) : BigInt.asUintN(64, value)) !== value) throw wrong(name, value)
      out.big64(value)
      return
    }
    const number = numberOf(name, value)
    if (!Number.isSafeInteger(number) || (number < 0 && !signed)) throw wrong(name, value)
    out.i64(number)
  }
}

/** ms since 1970 of a number or Date. */
function milliseconds(type: string, value: unknown): number {
  const ms = value instanceof Date ? value.getTime() : numberOf(type, value)
  if (Number.isNaN(ms)) throw wrong(type, value)
  return ms
}

function dateTime64Writer(precision: number): WriteCell {
  if (!Number.isInteger(precision) || precision < 0 || precision > 9)
    throw unknown(`DateTime64(${precision})`)
  const name = `DateTime64(${precision})`
  if (precision <= 3) {
    const msPerTick = 10 ** (3 - precision)
    return (out, value) => out.i64(Math.floor(inRange(milliseconds(name, value)) / msPerTick))
  }
  const ticksPerMs = 10n ** BigInt(precision - 3)
  return (out, value) => out.big64(BigInt(Math.floor(inRange(milliseconds(name, value)))) * ticksPerMs)
}

/** A watermark may lie outside: at the end of an input it is later than any time. */
const inRange = (ms: number): number => Math.min(Math.max(ms, EARLIEST_MS), LATEST_MS)

const nullableWriter =
  (write: WriteCell): WriteCell =>
  (out, value) => {
    if (value === null || value === undefined) out.u8(1)
    else {
      out.u8(0)
      write(out, value)
    }
  }

const arrayWriter =
  (write: WriteCell): WriteCell =>
  (out, value) => {
    if (value === null || value === undefined) out.u8(0)
    else if (Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView))) {
      const items = value as ArrayLike<unknown>
      out.varint(items.length)
      for (let i = 0; i < items.length; i++) write(out, items[i])
    } else throw wrong('Array', value)
  }

const mapWriter =
  (writeKey: WriteCell, writeValue: WriteCell): WriteCell =>
  (out, value) => {
    if (value === null || value === undefined) out.u8(0)
    else if (value instanceof Map) {
      out.varint(value.size)
      for (const [key, inner] of value) {
        writeKey(out, key)
        writeValue(out, inner)
      }
    } else if (typeof value === 'object') {
      const keys = Object.keys(value)
      out.varint(keys.length)
      for (const key of keys) {
        writeKey(out, key)
        writeValue(out, (value as Record<string, unknown>)[key])
      }
    } else throw wrong('Map', value)
  }

function tupleWriter(type: ColumnType, text: string): WriteCell {
  const writers = type.args.map((arg) => compile(arg, text))
  const { labels } = type
  return (out, value) => {
    if (value !== null && value !== undefined && typeof value !== 'object') throw wrong('Tuple', value)
    for (let i = 0; i < writers.length; i++) {
      const inner = Array.isArray(value)
        ? (value as unknown[])[i]
        : (value as Record<string, unknown> | null)?.[labels[i] ?? '']
      writers[i]?.(out, inner)
    }
  }
}
