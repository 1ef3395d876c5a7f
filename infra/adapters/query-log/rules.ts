import type { QueryLog } from '#schemas'
import { comparedWith } from './where.ts'

/** Where a name comes from; of a list, the first that gives one. */
export type NameSource =
  /** The same for all. */
  | { readonly value: string }
  /** A column of the query log, or a field of a JSON line. */
  | { readonly field: string }
  /** A field of `log_comment`, which holds a JSON object: the natural place for tags. */
  | { readonly comment: string }
  /** A member of `query_parameters` in a line of a JSON log. Servers log parameters by their values: see `where`. */
  | { readonly parameter: string }
  /** What the text of the query compares this column with, if it is one value. */
  | { readonly where: string }

/** How queries of one kind become records. */
export interface QueryRule {
  /** Only queries that touch this table: `name` or `database.name`. */
  readonly table?: string
  /** Only queries of this user. */
  readonly user?: string
  /** Only queries of these kinds, as `query_kind` says them: Select, Insert, ... */
  readonly kinds?: readonly string[]
  /** Only queries with these values of `normalized_query_hash`. */
  readonly hashes?: readonly string[]
  readonly service: readonly NameSource[]
  readonly entity: readonly NameSource[]
  readonly operation: readonly NameSource[]
  /** The column or field that says what a query costs; absent: each costs 1. */
  readonly work?: string
}

/** A row of a query log, or a line of a JSON log, by name. */
export type LogRow = Readonly<Record<string, unknown>>

/** A record; or why the row is none: it counts, and is left out. */
export type Normalised = QueryLog | { readonly skip: string }

/** Tags in `log_comment`, the table where there is no service, and the hash of the query where there is no operation. */
export const DEFAULT_RULES: readonly QueryRule[] = [
  {
    service: [{ comment: 'service' }, { field: 'tables' }],
    entity: [{ comment: 'entity' }, { parameter: 'entity' }],
    operation: [{ comment: 'operation' }, { field: 'normalized_query_hash' }],
  },
]

const MAX_NAME_CHARS = 512

/**
 * The record of a row under the first rule that fits it and finds all three names.
 * Throws nothing: a row without a time, names or a finite cost is skipped with its reason.
 */
export function normalise(row: LogRow, rules: readonly QueryRule[], origin: string): Normalised {
  const unasked = notAsked(row)
  if (unasked !== null) return { skip: unasked }
  const eventTimeMs = timeOf(row)
  if (eventTimeMs === null) return { skip: 'no time' }
  let skip = 'no rule'
  for (const rule of rules) {
    if (!fits(row, rule)) continue
    const names = namesOf(row, rule)
    if (typeof names === 'string') {
      skip = names
      continue
    }
    const work = rule.work === undefined ? 1 : amount(row[rule.work])
    return {
      event_time_ms: eventTimeMs,
      origin,
      pattern: `${names.service}|${names.operation}|${names.entity}`,
      service_id: names.service,
      entity_id: names.entity,
      operation_id: names.operation,
      work,
      ...measures(row),
    }
  }
  return { skip }
}

function measures(row: LogRow) {
  return {
    duration_ms: amount(row['query_duration_ms'] ?? row['duration_ms']),
    read_rows: amount(row['read_rows']),
    read_bytes: amount(row['read_bytes']),
    written_rows: amount(row['written_rows']),
    written_bytes: amount(row['written_bytes']),
    instance: text(row['hostname'] ?? row['instance']) ?? '',
    failed: amount(row['exception_code']) !== 0 || row['failed'] === true,
  }
}

function namesOf(
  row: LogRow,
  rule: QueryRule,
): { service: string; entity: string; operation: string } | string {
  const service = firstName(row, rule.service)
  const entity = firstName(row, rule.entity)
  const operation = firstName(row, rule.operation)
  if (service === null) return 'no service'
  if (entity === null) return 'no entity'
  if (operation === null) return 'no operation'
  // The parts of a pattern are divided by `|`; only the last may hold one.
  return { service: service.replaceAll('|', '/'), entity, operation: operation.replaceAll('|', '/') }
}

function firstName(row: LogRow, sources: readonly NameSource[]): string | null {
  for (const source of sources) {
    const name = nameFrom(row, source)
    if (name !== null && name !== '') return name.slice(0, MAX_NAME_CHARS)
  }
  return null
}

function nameFrom(row: LogRow, source: NameSource): string | null {
  if ('value' in source) return source.value
  if ('field' in source) return text(row[source.field])
  if ('comment' in source) return text(objectIn(row['log_comment'])[source.comment])
  if ('where' in source) return comparedWith(text(row['query']) ?? '', source.where)
  const { parameter } = source
  return text(objectIn(row['query_parameters'])[parameter])
}

function fits(row: LogRow, rule: QueryRule): boolean {
  if (rule.table !== undefined && !tablesOf(row).some((table) => isTable(table, rule.table as string)))
    return false
  if (rule.user !== undefined && row['user'] !== rule.user) return false
  if (rule.kinds !== undefined && !rule.kinds.includes(text(row['query_kind']) ?? '')) return false
  return rule.hashes === undefined || rule.hashes.includes(text(row['normalized_query_hash']) ?? '')
}

const isTable = (full: string, asked: string): boolean => full === asked || full.endsWith(`.${asked}`)

function tablesOf(row: LogRow): string[] {
  const tables = row['tables'] ?? row['table']
  return Array.isArray(tables) ? tables.map(String) : typeof tables === 'string' ? [tables] : []
}

/** Text of a name or number; of a list, its only member: two tables give no name. */
function text(value: unknown): string | null {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'bigint') return String(value)
  return Array.isArray(value) && value.length === 1 ? text(value[0]) : null
}

function amount(value: unknown): number {
  const number = typeof value === 'string' ? Number(value) : value
  return typeof number === 'number' && Number.isFinite(number) && number >= 0 ? number : 0
}

/** A map, or the JSON object in a text; {} for anything else. */
function objectIn(value: unknown): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  if (typeof value !== 'string' || !value.trimStart().startsWith('{')) return {}
  try {
    return JSON.parse(value) as Record<string, unknown>
  } catch {
    return {}
  }
}

/** Where a time may stand in a file: names of a log of one's own, and of an export of `system.query_log`. */
const TIMES = [
  'event_time_ms',
  'time',
  'ts',
  'timestamp',
  'query_start_time_microseconds',
  'query_start_time',
  'event_time_microseconds',
  'event_time',
]

/** When the query began, ms since 1970: microseconds of a query log, or a time of a file (ISO 8601, or ms). */
function timeOf(row: LogRow): number | null {
  const micros = row['started_us']
  if (typeof micros === 'string' && /^\d+$/.test(micros)) return Math.floor(Number(micros) / 1000)
  const name = TIMES.find((column) => row[column] !== undefined)
  const time = name === undefined ? undefined : row[name]
  const ms = typeof time === 'number' ? time : typeof time === 'string' ? msOf(time.trim()) : Number.NaN
  return Number.isSafeInteger(Math.floor(ms)) ? Math.floor(ms) : null
}

/** Digits are ms since 1970, as CSV has them; a time without a zone is UTC, wherever this runs. */
function msOf(text: string): number {
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text)
  const iso = text.replace(' ', 'T')
  return Date.parse(/T.*(Z|[+-]\d\d:?\d\d)$/i.test(iso) || !iso.includes('T') ? text : `${iso}Z`)
}

/** Rows of an exported query log that the server's own log is read without; null for any other row. */
function notAsked(row: LogRow): string | null {
  if (row['type'] === 'QueryStart') return 'not ended'
  const initial = row['is_initial_query']
  return initial === 0 || initial === '0' || initial === false ? 'not initial' : null
}
