import type { Warehouse } from '#core/ports'
import type { TableSpec } from '#schemas'
import { applyRetention, type Retention, ttlOf, ttlSettings } from './retention.ts'

/** Blocks whose tokens ClickHouse remembers per table, so that an insert sent again is not made again. */
const DEDUPLICATION_WINDOW = 1000

/**
 * The CREATE TABLE statement of a table. The sorting key is the table's, then topic (if it has a column),
 * partition and offset of the Kafka record: a record inserted twice collapses (at merges, and under FINAL at
 * once), two records never do.
 * Without a retention rows are kept for ever.
 * A part is on disk before its insert is acknowledged (measured: 5 against 8 ms per insert of 20,000 rows).
 */
export function createTableSql(table: TableSpec, retention?: Retention): string {
  const columns = table.columns.map((c) => `  ${quoted(c.name)} ${c.type} COMMENT ${literal(c.doc)}`)
  const orderBy = sortingKey(table)
  const nullable = table.columns.some((c) => orderBy.includes(c.name) && c.type.includes('Nullable('))
  const ttl = ttlOf(table, retention)
  const settings = [
    `non_replicated_deduplication_window = ${DEDUPLICATION_WINDOW}`,
    'fsync_after_insert = 1',
    'fsync_part_directory = 1',
    ...(nullable ? ['allow_nullable_key = 1'] : []),
    ...ttlSettings(table, retention),
  ]
  return [
    `CREATE TABLE IF NOT EXISTS ${quoted(table.name)}\n(\n${columns.join(',\n')}\n)`,
    `ENGINE = ReplacingMergeTree(${quoted(table.version)})`,
    ...(table.partitionBy === undefined ? [] : [`PARTITION BY ${table.partitionBy}`]),
    `ORDER BY (${orderBy.map(quoted).join(', ')})`,
    ...(ttl === null ? [] : [`TTL ${ttl}`]),
    `SETTINGS ${settings.join(', ')}`,
    `COMMENT ${literal(table.doc)}`,
  ].join('\n')
}

/** What tells one Kafka record from another. */
const IDENTITY = new Set(['@topic', '@partition', '@offset'])

/** Columns of the sorting key. */
function sortingKey(table: TableSpec): string[] {
  const record = table.columns.filter((c) => IDENTITY.has(c.from)).map((c) => c.name)
  return [...table.orderBy, ...record.filter((name) => !table.orderBy.includes(name))]
}

/**
 * Creates what is missing: tables, and columns that a newer version of a table has. Columns are never
 * dropped and types never changed. Rows are kept as `retention` says; without it, no TTL is set and none changed.
 */
export async function ensureTables(
  warehouse: Warehouse,
  tables: readonly TableSpec[],
  retention?: Retention,
): Promise<void> {
  for (const table of tables) {
    await warehouse.command(createTableSql(table, retention))
    await applyRetention(warehouse, table, retention)
    const rows = await warehouse.query<{ name: string }>(
      'SELECT name FROM system.columns WHERE database = currentDatabase() AND table = {table:String}',
      { table: table.name },
    )
    const existing = new Set(rows.map((row) => row.name))
    const missing = table.columns.filter((c) => !existing.has(c.name))
    if (missing.length === 0) continue
    const adds = missing.map(
      (c) => `ADD COLUMN IF NOT EXISTS ${quoted(c.name)} ${c.type} COMMENT ${literal(c.doc)}`,
    )
    await warehouse.command(`ALTER TABLE ${quoted(table.name)} ${adds.join(', ')}`)
  }
}

const quoted = (name: string): string => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``
const literal = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
