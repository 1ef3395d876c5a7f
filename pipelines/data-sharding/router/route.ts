import type { PlannedRequest, RefusePlan, TableRule } from '#core/ports'
import { segmentOf } from '../placement/index.ts'
import { keysOf } from './keys.ts'
import { canonicalKey, type RouterRules } from './rules.ts'
import { readStatement, type Statement } from './statement.ts'
import { renames, type TableName, type TableRead } from './tables.ts'
import type { Tokens } from './tokens.ts'

/** Where a statement goes. */
export type Route =
  /** Any instance: it reads no sharded table. `mayChange` false: it must not change anything there. */
  | {
      readonly kind: 'any'
      readonly isRead: boolean
      readonly mayChange: boolean
      readonly operation: string
    }
  /** The instance of tables that are not sharded. */
  | { readonly kind: 'home'; readonly isRead: boolean; readonly operation: string }
  /** An instance that has all of these segments. */
  | {
      readonly kind: 'segments'
      readonly segments: readonly number[]
      /** The keys that lie in them. */
      readonly keys: readonly string[]
      /** Tables whose rows of other keys must be hidden: the client named the keys, the statement does not. */
      readonly narrowed: readonly TableRule[]
      readonly operation: string
    }
  /** One instance for each part of the segments; the answers are put together. */
  | {
      readonly kind: 'fan-out'
      readonly table: TableRule
      readonly format: string
      readonly operation: string
    }
  | { readonly kind: 'insert'; readonly rule: TableRule; readonly statement: Statement & { kind: 'insert' } }
  /** Every instance, through the log. */
  | { readonly kind: 'change'; readonly verb: string }
  /** Every instance at once, past the log: KILL. */
  | { readonly kind: 'broadcast' }
  | RefusePlan

/** Chooses the route of each statement. Pure. */
export interface StatementRouter {
  route(request: PlannedRequest): Route
  /** The rule of a table, undefined if it is not sharded. */
  ruleOf(table: TableName, database: string): TableRule | undefined
}

/** Formats whose answers can be written one after another. */
const ROWS =
  /^(JSONEachRow|JSONLines|NDJSON|JSONCompactEachRow|JSONStringsEachRow|JSONCompactStringsEachRow|TabSeparated|TabSeparatedRaw|TSV|TSVRaw|Raw|CSV|RowBinary|LineAsString|RawBLOB|MsgPack)$/i

const refuse = (code: number, name: string, message: string): RefusePlan => ({
  kind: 'refuse',
  code,
  name,
  message,
})

const anyRead = (operation: string): Route => ({ kind: 'any', isRead: true, mayChange: false, operation })

/** A router over the rules of one service. */
export function createStatementRouter(rules: RouterRules): StatementRouter {
  const byName = new Map(rules.tables.map((rule) => [`${rule.database}.${rule.table}`, rule]))
  const ruleOf = ({ database, table }: TableName, current: string): TableRule | undefined =>
    byName.get(`${database === '' ? current : database}.${table}`)

  /** A sharded table that a table function may read. */
  const hiddenTable = ({ via, args }: TableRead): TableRule | undefined =>
    rules.tables.find(({ table }) =>
      args.some((arg) => arg.split('.').at(-1) === table || (/^merge$/i.test(via) && mayMatch(arg, table))),
    )

  function routeRead(request: PlannedRequest, tokens: Tokens, tables: readonly TableRead[]): Route {
    const sharded: [TableRead, TableRule][] = []
    let hasOther = false
    for (const read of tables) {
      const hidden = read.via === '' ? undefined : hiddenTable(read)
      if (hidden !== undefined) return refuseHidden(read, hidden)
      const rule = ruleOf(read, request.database)
      if (rule !== undefined) sharded.push([read, rule])
      else if (!read.isShadowed) hasOther = true
    }
    const operation = operationOf(tokens)
    const [first] = sharded
    if (first === undefined) return hasOther ? { kind: 'home', isRead: true, operation } : anyRead(operation)
    // What the statement says counts for more than what stands beside it.
    const bound = boundKeys(tokens, sharded, request)
    const keys = bound ?? (request.keys === null ? null : namedKeys(request.keys, first[1]))
    if (keys === null) return withoutKey(tokens, sharded, tables.length, operation)
    const segments = new Set([...keys].map((key) => segmentOf(key, rules.segments)))
    return {
      kind: 'segments',
      segments: [...segments].sort((a, b) => a - b),
      keys: [...keys],
      // Else it would show whatever else the instance holds at the moment.
      narrowed: bound === null ? sharded.map(([, rule]) => rule) : [],
      operation,
    }
  }

  function withoutKey(
    tokens: Tokens,
    sharded: readonly [TableRead, TableRule][],
    tables: number,
    operation: string,
  ): Route {
    const [first] = sharded
    if (first === undefined) return anyRead(operation)
    const { table, keyColumn } = first[1]
    if (rules.fanOut === 'first') return anyRead(operation)
    const why = rules.fanOut === 'all' ? whyNotMergeable(tokens, tables) : ''
    if (rules.fanOut === 'all' && why === '') {
      return { kind: 'fan-out', table: first[1], format: formatOf(tokens), operation }
    }
    const asked = why === '' ? '' : ` A query with ${why} cannot be put together from parts.`
    const shadowed = sharded.find(([read]) => read.isShadowed)
    if (shadowed !== undefined) {
      return refuse(
        36,
        'BAD_ARGUMENTS',
        `${shadowed[0].table} is both a sharded table and a name that a WITH of the query gives to a subquery: give the subquery another name`,
      )
    }
    const hint = `Add ${keyColumn} = ... or ${keyColumn} IN (...) to its WHERE, or name the key in the header X-Forestall-Key`
    return refuse(
      36,
      'BAD_ARGUMENTS',
      `The query does not name the shard key ${keyColumn} of table ${table}, whose rows lie on several instances.${asked} ${hint}`,
    )
  }

  function routeInsert(request: PlannedRequest, statement: Statement & { kind: 'insert' }): Route {
    const rule = ruleOf(statement.target, request.database)
    if (rule === undefined) return { kind: 'home', isRead: false, operation: 'insert' }
    return { kind: 'insert', rule, statement }
  }

  return {
    ruleOf,
    route(request) {
      const statement = readStatement(request.sql, request.params)
      switch (statement.kind) {
        case 'read':
          return routeRead(request, statement.tokens, statement.tables)
        case 'insert':
          return routeInsert(request, statement)
        case 'insert-select':
          return ruleOf(statement.target, request.database) === undefined && statement.target.table !== ''
            ? { kind: 'home', isRead: false, operation: 'insert' }
            : refuse(
                48,
                'NOT_IMPLEMENTED',
                'INSERT ... SELECT into a sharded table is not supported: each instance would select something else. Read the rows and insert them',
              )
        case 'meta':
          // Only home has the tables that are not sharded.
          return { kind: 'home', isRead: true, operation: 'meta' }
        case 'session':
          if (statement.verb === 'USE') {
            return refuse(
              48,
              'NOT_IMPLEMENTED',
              'USE would change the database for one instance only: name it in the URL (database=...), or before the table',
            )
          }
          return statement.verb === 'KILL'
            ? { kind: 'broadcast' }
            : { kind: 'any', isRead: false, mayChange: true, operation: 'session' }
        case 'other':
          // ClickHouse says itself what it thinks of an empty, multiple or unknown statement.
          return { kind: 'any', isRead: false, mayChange: false, operation: 'other' }
        case 'change':
          return rules.changes === 'all' || request.sendsChanges
            ? { kind: 'change', verb: statement.verb }
            : refuse(
                48,
                'NOT_IMPLEMENTED',
                `${statement.verb} is not sent to the instances: it would change one of them only. Where the operator allows it, the header X-Forestall-Change: all sends it to every instance`,
              )
      }
    },
  }
}

function namedKeys(keys: readonly string[], rule: TableRule): Set<string> | null {
  const canonical = keys.map((key) => canonicalKey(key, rule.keyType))
  return canonical.every((key) => key !== null) ? new Set(canonical) : null
}

/** Whether a text may be meant as a pattern of names that this one fits. */
function mayMatch(pattern: string, name: string): boolean {
  try {
    return new RegExp(pattern).test(name)
  } catch {
    return true
  }
}

const refuseHidden = ({ via }: TableRead, { table }: TableRule): RefusePlan =>
  refuse(
    48,
    'NOT_IMPLEMENTED',
    `${via}(...) may read the sharded table ${table}, of which each instance has a part: name the table in FROM instead`,
  )

/** The keys that bind every sharded table of a statement; null if one is free. */
function boundKeys(
  tokens: Tokens,
  sharded: readonly [TableRead, TableRule][],
  request: PlannedRequest,
): Set<string> | null {
  const all = new Set<string>()
  for (const [read, rule] of sharded) {
    const { keyColumn: column, keyType: type, database } = rule
    // Which of two things of one name a condition means is not told here.
    if (read.isShadowed || renames(tokens, column)) return null
    const { isJoined: mustQualify, alias } = read
    const qualifiers = mustQualify && alias !== '' ? [alias] : [read.table, alias].filter((n) => n !== '')
    const key = { column, type, database, qualifiers, mustQualify }
    let keys: Set<string> | null = null
    for (const [from, to] of read.conditions) keys ??= keysOf(tokens, from, to, key, request.params)
    if (keys === null) return null
    for (const k of keys) all.add(k)
  }
  return all
}

/** Settings that change an answer as a whole. */
const OF_THE_WHOLE = new Set(['ADDITIONAL_TABLE_FILTERS', 'EXTREMES', 'OUTPUT_FORMAT_JSON_ARRAY_OF_ROWS'])

/**
 * What keeps the answers of the parts from being put together, in words; '' if nothing does that the text tells. Whether
 * it aggregates, sorts or cuts is for an instance to tell, which knows more functions and settings.
 */
function whyNotMergeable(tokens: Tokens, tables: number): string {
  if (tables > 1) return 'several tables'
  for (let i = 0; i < tokens.count; i++) {
    const word = tokens.word(i)
    if (tokens.depth(i) > 0 && word === 'SELECT') return 'a subquery'
    if (OF_THE_WHOLE.has(word)) return `the setting ${tokens.text(i)}`
  }
  const format = formatOf(tokens)
  return format === '' || isRowFormat(format) ? '' : `FORMAT ${format}`
}

/** The format that a statement names; '' if none. */
function formatOf(tokens: Tokens): string {
  let found = ''
  for (let i = 0; i < tokens.count; i++) {
    if (tokens.depth(i) === 0 && tokens.word(i) === 'FORMAT') found = tokens.text(i + 1)
  }
  return found
}

/** Whether answers in a format can be written one after another. */
export const isRowFormat = (format: string): boolean => ROWS.test(format)

/** A name for statements of the same form: their words, without values. */
function operationOf(tokens: Tokens): string {
  let name = ''
  for (let i = 0; i < tokens.count && name.length < 400; i++) {
    const kind = tokens.kind(i)
    name += kind === 2 || kind === 3 ? '?' : `${tokens.text(i)} `
  }
  return name
}
