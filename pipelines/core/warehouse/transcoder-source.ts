import type { ColumnType } from './column-type.ts'

/** An Avro schema as its JSON text holds it. */
export type AvroNode =
  | string
  | readonly AvroNode[]
  | ({ readonly type: AvroNode } & Readonly<Record<string, unknown>>)

/** Thrown while a table is compiled: it holds something that only the general encoder writes. */
export class NotTranscodable extends Error {}

/** Symbols of enums, each as RowBinary writes a string; the code refers to them by number. */
export type SymbolTable = Uint8Array[][]

/** The value does not follow its schema, or is one of which the general encoder decides. */
const GIVE_UP = 'return -1;'
/** What DateTime64 can hold, in the upper half of the milliseconds; the general encoder moves what lies beyond into it. */
const EARLIEST_HIGH = -514
const LATEST_HIGH = 2423
const SAFE_HIGH = 2 ** 21

const plain = (type: ColumnType): ColumnType =>
  type.name === 'LowCardinality' && type.args[0] !== undefined ? type.args[0] : type

const nameOf = (node: AvroNode): string => {
  if (typeof node === 'string') return node
  if (Array.isArray(node)) return 'union'
  return nameOf((node as { type: AvroNode }).type)
}

/**
 * Code that reads one Avro value at `p` and writes it as `column` in RowBinary at `w`; without a column it only steps
 * over the value. No text of a schema gets into the code. Throws NotTranscodable.
 */
export function copyValue(node: AvroNode, column: ColumnType | null, symbols: SymbolTable): string {
  const type = column === null ? null : plain(column)
  const kind = nameOf(node)
  switch (kind) {
    case 'string':
    case 'bytes':
      return copyBytes(expects(type, 'String'))
    case 'double':
      return fixed(expects(type, 'Float64'), 8, 'view.setFloat64(w, from.getFloat64(p, true), true);')
    case 'float':
      return fixed(expects(type, 'Float32'), 4, 'view.setFloat32(w, from.getFloat32(p, true), true);')
    case 'boolean':
      return `if (p >= e || b[p] > 1) ${GIVE_UP} ${expects(type, 'Bool') ? 'o[w++] = b[p];' : ''} p++;`
    case 'int':
      return `${readLong} if (HI !== LO >> 31) ${GIVE_UP} ${expects(type, 'Int32') ? 'view.setInt32(w, LO, true); w += 4;' : ''}`
    case 'long':
      return copyLong(type)
    case 'enum':
      return copyEnum(node, expects(type, 'String'), symbols)
    case 'array':
      return copyArray(node, type, symbols)
    case 'union':
      return copyUnion(node as readonly AvroNode[], type, symbols)
    default:
      throw new NotTranscodable(kind)
  }
}

/** True if there is a column to write; NotTranscodable if it is of another type. */
function expects(type: ColumnType | null, name: string): boolean {
  if (type !== null && type.name !== name) throw new NotTranscodable(`${type.name} from what fills ${name}`)
  return type !== null
}

const readLong = `p = long(b, p, e); if (p < 0) ${GIVE_UP}`
/** A length: a varint that is not negative and of one or two bytes in nearly all cases; left in `n`. */
const readLength = `if (p >= e) ${GIVE_UP}
n = b[p++];
if (n > 127) { ${readLong.replace('long(b, p, e)', 'long(b, p - 1, e)')} if (HI !== 0 || LO < 0) ${GIVE_UP} n = LO; }
else { if (n & 1) ${GIVE_UP} n >>>= 1; }`
const writeLength = 'if (n < 128) o[w++] = n; else w = leb(o, w, n);'

const fixed = (written: boolean, bytes: number, code: string): string =>
  `if (p + ${bytes} > e) ${GIVE_UP} ${written ? `${code} w += ${bytes};` : ''} p += ${bytes};`

const copyBytes = (written: boolean): string =>
  `${readLength} if (n > e - p) ${GIVE_UP}
${written ? `${writeLength} copy(b, p, o, w, n); w += n;` : ''} p += n;`

function copyLong(type: ColumnType | null): string {
  const safe = `if (HI < -${SAFE_HIGH} || HI >= ${SAFE_HIGH}) ${GIVE_UP}`
  const write = 'view.setInt32(w, LO, true); view.setInt32(w + 4, HI, true); w += 8;'
  if (type === null) return `${readLong} ${safe}`
  if (type.name === 'Int64') return `${readLong} ${safe} ${write}`
  if (type.name !== 'DateTime64' || type.args[0]?.name !== '3') throw new NotTranscodable(type.name)
  return `${readLong} if (HI < ${EARLIEST_HIGH} || HI > ${LATEST_HIGH}) ${GIVE_UP} ${write}`
}

function copyEnum(node: AvroNode, written: boolean, symbols: SymbolTable): string {
  const names = (node as { symbols?: readonly string[] }).symbols ?? []
  const at =
    symbols.push(names.map((name) => Uint8Array.from([name.length, ...new TextEncoder().encode(name)]))) - 1
  if (names.length > 64 || names.some((name) => name.length > 127)) throw new NotTranscodable('enum')
  return `${readLength} if (n >= ${names.length}) ${GIVE_UP} ${written ? `t = symbols[${at}][n]; o.set(t, w); w += t.length;` : ''}`
}

/** Arrays of one block, as nearly all writers write them. */
function copyArray(node: AvroNode, type: ColumnType | null, symbols: SymbolTable): string {
  const written = expects(type, 'Array')
  const items = (node as { items?: AvroNode }).items
  if (items === undefined) throw new NotTranscodable('array')
  const item = copyValue(items, type?.args[0] ?? null, symbols)
  return `${readLength} if (n > e - p) ${GIVE_UP} ${written ? writeLength : ''}
if (n > 0) { for (let left = n; left > 0; left--) { ${item} } if (p >= e || b[p++] !== 0) ${GIVE_UP} }`
}

/** `null` and one other branch. */
function copyUnion(branches: readonly AvroNode[], type: ColumnType | null, symbols: SymbolTable): string {
  const at = branches.indexOf('null')
  const value = branches[1 - at]
  if (branches.length !== 2 || at < 0 || value === undefined) throw new NotTranscodable('union')
  const written = expects(type, 'Nullable')
  const code = copyValue(value, type?.args[0] ?? null, symbols)
  return `if (p >= e) ${GIVE_UP} n = b[p++];
if (n === ${2 * at}) { ${written ? 'o[w++] = 1;' : ''} }
else if (n === ${2 * (1 - at)}) { ${written ? 'o[w++] = 0;' : ''} ${code} }
else ${GIVE_UP}`
}

/** Code of a column that is part of the Kafka record. */
export function copyKafka(from: string, type: ColumnType): string {
  const { name } = plain(type)
  const number = (value: string) => `high = Math.floor(${value} / 4294967296);
view.setInt32(w, ${value}, true); view.setInt32(w + 4, high, true); w += 8;`
  if (from === '@partition' && name === 'Int32') return 'view.setInt32(w, partition, true); w += 4;'
  if (from === '@offset' && name === 'Int64') return number('offset')
  if (from === '@timestamp' && name === 'DateTime64' && type.args[0]?.name === '3')
    return `${number('timestamp')} if (high < ${EARLIEST_HIGH} || high > ${LATEST_HIGH}) ${GIVE_UP}`
  if (from === '@tombstone' && name === 'Bool') return 'o[w++] = 0;'
  if (from === '@key' && name === 'String')
    return `n = keyEnd < key ? 0 : keyEnd - key; ${writeLength} copy(b, key, o, w, n); w += n;`
  throw new NotTranscodable(from)
}

/** Functions that the code of a row calls. */
export const HELPERS = `let LO = 0, HI = 0;
function long(b, p, e) {
  let lo = 0, hi = 0, shift = 0;
  for (;;) {
    if (p >= e) return -1;
    const c = b[p++];
    if (shift < 28) lo |= (c & 127) << shift;
    else if (shift === 28) { lo |= (c & 127) << 28; hi = (c & 127) >>> 4; }
    else if (shift < 63) hi |= (c & 127) << (shift - 32);
    else return -1;
    if (c < 128) break;
    shift += 7;
  }
  const sign = -(lo & 1);
  LO = ((lo >>> 1) | (hi << 31)) ^ sign;
  HI = (hi >>> 1) ^ sign;
  return p;
}
function leb(o, w, n) {
  while (n > 127) { o[w++] = (n & 127) | 128; n >>>= 7; }
  o[w++] = n;
  return w;
}
function copy(b, p, o, w, n) {
  if (n > 48) o.set(b.subarray(p, p + n), w);
  else for (let i = 0; i < n; i++) o[w + i] = b[p + i];
}`
