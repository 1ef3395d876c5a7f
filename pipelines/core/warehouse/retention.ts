import type { Warehouse } from '#core/ports'
import type { TableSpec } from '#schemas'

/** How long rows are kept in a database of live rows. */
export interface Retention {
  /** Days by kind of table; 0: for ever. */
  readonly days: { readonly short: number; readonly long: number }
  /**
   * Whether tables that exist get it, too. If not, a table keeps the TTL that it has: an upgrade deletes nothing, and
   * what an operator has set by hand (volumes, other days) stays.
   */
  readonly alters: { readonly short: boolean; readonly long: boolean }
}

/** Partitions are months: from here on, dropping whole parts keeps at most half as much again. */
const DROP_PARTS_FROM_DAYS = 60

/** The TTL expression of a table, as ClickHouse itself writes it (by its text it is compared); null: for ever. */
export function ttlOf(table: TableSpec, retention: Retention | undefined): string | null {
  if (table.retention === undefined || retention === undefined) return null
  const days = retention.days[table.retention.kept]
  return days === 0 ? null : `toDateTime(${table.retention.column}) + toIntervalDay(${days})`
}

/**
 * Settings that go with a TTL. Parts of a table in months are dropped once all their rows are too old, which costs
 * nothing; where the days are few, or all rows are in one partition, merges leave out what is too old.
 * A TTL that changes is worked out for old parts from the column alone, not by writing them again.
 */
export function ttlSettings(table: TableSpec, retention: Retention | undefined): string[] {
  if (table.retention === undefined || ttlOf(table, retention) === null) return []
  const days = retention?.days[table.retention.kept] ?? 0
  const isDropped = table.partitionBy !== undefined && days >= DROP_PARTS_FROM_DAYS
  return [`ttl_only_drop_parts = ${isDropped ? 1 : 0}`, 'materialize_ttl_recalculate_only = 1']
}

const TTL = /\bTTL (.+?)(?= SETTINGS |$)/s

/** Gives a table that exists this retention; does nothing if it has it. */
export async function applyRetention(
  warehouse: Warehouse,
  table: TableSpec,
  retention: Retention | undefined,
): Promise<void> {
  if (table.retention === undefined || retention?.alters[table.retention.kept] !== true) return
  const [row] = await warehouse.query<{ engine: string }>(
    'SELECT engine_full AS engine FROM system.tables WHERE database = currentDatabase() AND name = {table:String}',
    { table: table.name },
  )
  const engine = row?.engine ?? ''
  const standing = TTL.exec(engine)?.[1] ?? null
  const wanted = ttlOf(table, retention)
  const alter = (change: string): Promise<void> =>
    warehouse.command(`ALTER TABLE \`${table.name}\` ${change}`)
  const settings = ttlSettings(table, retention).filter((setting) => !engine.includes(setting))
  // Before the TTL: it begins to work at once.
  if (settings.length > 0) await alter(`MODIFY SETTING ${settings.join(', ')}`)
  if (wanted === standing) return
  await alter(wanted === null ? 'REMOVE TTL' : `MODIFY TTL ${wanted}`)
}
