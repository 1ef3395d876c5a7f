import type { TableRule } from '#core/ports'

/** `name` in backticks. */
const quoted = (name: string): string => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``

/**
 * SQL for the segment of a key column: the same as `segmentOf(toString(column), segments)`. For filters over parts of a
 * table; it walks the bytes of every key, so it is no substitute for a condition on the key itself.
 */
export function segmentSql(column: string, segments: number): string {
  const key = `toString(${quoted(column)})`
  const fnv = `arrayFold((h, i) -> bitAnd(bitXor(h, reinterpretAsUInt8(substring(${key}, i, 1))) * 16777619, 4294967295), range(1, length(${key}) + 1), toUInt64(2166136261))`
  // murmur3's finaliser, step by step: each value is used twice.
  const shifted = (value: string, by: number) => `arrayMap(x -> bitXor(x, bitShiftRight(x, ${by})), ${value})`
  const times = (value: string, by: number) => `arrayMap(x -> bitAnd(x * ${by}, 4294967295), ${value})`
  const mixed = shifted(times(shifted(times(shifted(`[${fnv}]`, 16), 0x85ebca6b), 13), 0xc2b2ae35), 16)
  return `${mixed}[1] % ${segments}`
}

type KeyedTable = Pick<TableRule, 'database' | 'table' | 'keyColumn'>

/** `text` as a literal. */
const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

/** A value for the setting `additional_table_filters`. */
const filtersOf = (tables: readonly KeyedTable[], condition: (keyColumn: string) => string): string =>
  `{${tables.map((t) => `${literal(`${t.database}.${t.table}`)}: ${literal(condition(t.keyColumn))}`).join(', ')}}`

/** A value for the setting `additional_table_filters`: each table shows the rows of these segments only. */
export const segmentFilters = (
  tables: readonly KeyedTable[],
  segments: number,
  wanted: readonly number[],
): string => filtersOf(tables, (column) => `${segmentSql(column, segments)} IN (${wanted.join(', ')})`)

/** The same for the rows of these keys, in their canonical form. */
export const keyFilters = (tables: readonly KeyedTable[], keys: readonly string[]): string =>
  filtersOf(tables, (column) => `${quoted(column)} IN (${keys.map(literal).join(', ')})`)
