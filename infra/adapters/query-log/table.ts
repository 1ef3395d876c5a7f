import { ForestallError, type Warehouse } from '#core/ports'
import type { LogRow } from './rules.ts'

/** Up to where a log has been read: all rows that are not after this one. */
export interface LogCursor {
  /** `event_time_microseconds` of the last row, microseconds since 1970. */
  readonly atUs: string
  readonly queryId: string
}

/** Before every row. */
export const LOG_START: LogCursor = { atUs: '0', queryId: '' }

/** A page of rows, and the cursor behind its last one; null if there are none. */
export interface LogPage {
  readonly rows: readonly LogRow[]
  readonly cursor: LogCursor | null
}

/** A query log that can be read page by page. */
export interface QueryLogTable {
  /**
   * The next rows after a cursor that ended at least `settleMs` ago by the server's clock: the server writes its log
   * some seconds late and not in order, so that younger rows may still get neighbours.
   */
  read(after: LogCursor, limit: number, settleMs: number): Promise<LogPage>
}

/** What rules and records use; servers that lack some (older ones) do without. */
const COLUMNS = [
  'hostname',
  'query_duration_ms',
  'read_rows',
  'read_bytes',
  'written_rows',
  'written_bytes',
  'query',
  'normalized_query_hash',
  'query_kind',
  'tables',
  'exception_code',
  'user',
  'log_comment',
] as const
const REQUIRED = ['type', 'event_date', 'event_time_microseconds', 'is_initial_query', 'query_id']
/** Dates begin in 1970; before that, the day that is subtracted for time zones would be one of 2149. */
const FIRST_DAY_US = 2 * 86_400_000_000
const NAME = /^[A-Za-z_][\w]*(\.[A-Za-z_][\w]*)?$/

/**
 * Opens `system.query_log`, or a table of the same columns. Columns are taken by name; further ones do not matter.
 * Throws CONFIG_INVALID if the name or the table cannot be that of a query log.
 */
export async function openQueryLog(warehouse: Warehouse, table = 'system.query_log'): Promise<QueryLogTable> {
  if (!NAME.test(table)) throw new ForestallError('CONFIG_INVALID', `${table} is not the name of a table.`)
  const [database, name] = table.includes('.') ? (table.split('.') as [string, string]) : [null, table]
  const found = await warehouse.query<{ name: string }>(
    `SELECT name FROM system.columns WHERE table = {table:String}
       AND database = if({database:String} = '', currentDatabase(), {database:String})`,
    { table: name, database: database ?? '' },
  )
  const present = new Set(found.map((column) => column.name))
  const missing = REQUIRED.filter((column) => !present.has(column))
  if (missing.length > 0) throw notALog(table, present.size === 0, missing)
  const sql = pageSql(table, present)
  return {
    async read(after, limit, settleMs) {
      const rows = await warehouse.query<LogRow & { ended_us: string; query_id: string }>(sql, {
        at: after.atUs,
        id: after.queryId,
        limit,
        firstDay: FIRST_DAY_US,
        settle: Math.round(settleMs * 1000),
      })
      const last = rows.at(-1)
      return { rows, cursor: last === undefined ? null : { atUs: last.ended_us, queryId: last.query_id } }
    },
  }
}

function notALog(table: string, absent: boolean, missing: readonly string[]): ForestallError {
  const what = absent ? `${table} does not exist` : `${table} has no ${missing.join(', ')}`
  return new ForestallError('CONFIG_INVALID', `${what}: it is not a query log.`, {
    cure: 'Turn on query_log in the configuration of the server, or name the table that holds it.',
  })
}

/** Queries that no client asked: what others insert asynchronously is logged once by itself and once as it is written. */
const UNASKED: readonly (readonly [column: string, condition: string])[] = [
  ['query_kind', "query_kind != 'AsyncInsertFlush'"],
  ['is_internal', 'is_internal = 0'],
]

/** Ended queries that somebody asked (not the parts that a server asks of others), in order of their end. */
function pageSql(table: string, present: ReadonlySet<string>): string {
  const began = present.has('query_start_time_microseconds')
    ? 'query_start_time_microseconds'
    : 'event_time_microseconds'
  const columns = COLUMNS.filter((column) => present.has(column)).map((column) =>
    column === 'normalized_query_hash' ? `toString(${column}) AS ${column}` : column,
  )
  const asked = UNASKED.filter(([column]) => present.has(column)).map(([, condition]) => ` AND ${condition}`)
  return `SELECT toString(toUnixTimestamp64Micro(event_time_microseconds)) AS ended_us, query_id,
      toString(toUnixTimestamp64Micro(${began})) AS started_us, ${columns.join(', ')}
    FROM ${table}
    WHERE type IN ('QueryFinish', 'ExceptionWhileProcessing') AND is_initial_query = 1${asked.join('')}
      AND event_date >= toDate(fromUnixTimestamp64Micro(greatest({at:Int64}, {firstDay:Int64}))) - 1
      AND (toUnixTimestamp64Micro(event_time_microseconds), query_id) > ({at:Int64}, {id:String})
      AND toUnixTimestamp64Micro(event_time_microseconds) <= toUnixTimestamp64Micro(now64(6)) - {settle:Int64}
    ORDER BY toUnixTimestamp64Micro(event_time_microseconds), query_id
    LIMIT {limit:UInt32}`
}
