import type { InsertHead } from '#core/ports'
import { paramAt, type Params } from './keys.ts'
import { nameAt, NUMBER, readTokens, SYMBOL, type Tokens, WORD } from './tokens.ts'

/** A table that a statement names. */
export interface TableName {
  /** '' if the statement does not say. */
  readonly database: string
  readonly table: string
}

/** A table that a SELECT reads, and where the conditions on it stand. */
export interface TableRead extends TableName {
  /** Another name of it in the statement, '' if none. */
  readonly alias: string
  /** Token ranges of the WHERE and PREWHERE of its SELECT. */
  readonly conditions: readonly (readonly [from: number, to: number])[]
}

/** What a statement is, as far as a router must know. */
export type Statement =
  | { readonly kind: 'read'; readonly tokens: Tokens; readonly tables: readonly TableRead[] }
  /** Answers about the server or its tables: SHOW, DESCRIBE, EXISTS, EXPLAIN. */
  | { readonly kind: 'meta'; readonly tokens: Tokens }
  | (InsertHead & { readonly kind: 'insert'; readonly tokens: Tokens; readonly target: TableName })
  | { readonly kind: 'insert-select'; readonly tokens: Tokens; readonly target: TableName }
  /** Belongs to a session or server: SET, USE, KILL. */
  | { readonly kind: 'session'; readonly tokens: Tokens; readonly verb: string }
  /** Changes tables or servers: CREATE, ALTER, DROP. */
  | { readonly kind: 'change'; readonly tokens: Tokens; readonly verb: string }
  /** Nothing, several statements, or a verb that is not known: ClickHouse answers it. */
  | { readonly kind: 'other'; readonly tokens: Tokens }

const READS = new Set(['SELECT', 'WITH', 'FROM'])
const META = new Set(['SHOW', 'DESC', 'DESCRIBE', 'EXISTS', 'EXPLAIN', 'CHECK'])
const CHANGES = new Set([
  'CREATE',
  'ALTER',
  'DROP',
  'TRUNCATE',
  'RENAME',
  'EXCHANGE',
  'OPTIMIZE',
  'DELETE',
  'UPDATE',
  'GRANT',
  'REVOKE',
  'ATTACH',
  'DETACH',
  'UNDROP',
  'REPLACE',
  'MOVE',
  'SYSTEM',
  'BACKUP',
  'RESTORE',
  'BEGIN',
  'COMMIT',
  'ROLLBACK',
])
const SESSION = new Set(['SET', 'USE', 'KILL'])
/** Words that end a WHERE at its depth. */
const CLAUSES = new Set([
  'GROUP',
  'ORDER',
  'HAVING',
  'LIMIT',
  'OFFSET',
  'SETTINGS',
  'FORMAT',
  'UNION',
  'EXCEPT',
  'INTERSECT',
  'WINDOW',
  'QUALIFY',
  'INTO',
  'WHERE',
  'PREWHERE',
])
/** Words after a table name that are no alias. */
const NOT_ALIAS = new Set([
  ...CLAUSES,
  'FINAL',
  'SAMPLE',
  'JOIN',
  'LEFT',
  'RIGHT',
  'INNER',
  'FULL',
  'CROSS',
  'ANY',
  'ALL',
  'ASOF',
  'SEMI',
  'ANTI',
  'GLOBAL',
  'ARRAY',
  'PASTE',
  'ON',
  'USING',
  'SELECT',
  'FETCH',
  'BY',
])

/** Reads a statement; `params` name tables by `{t:Identifier}`. Never throws. */
export function readStatement(sql: string, params: Params = new Map()): Statement {
  const tokens = readTokens(sql, endsInsertHead)
  let first = 0
  while (tokens.word(first) === '(') first++
  const verb = tokens.word(first)
  if (verb === 'INSERT') return insert(tokens, params)
  let last = tokens.count
  while (last > 0 && tokens.word(last - 1) === ';') last--
  if (last === 0 || hasSeveral(tokens, last)) return { kind: 'other', tokens }
  if (verb === 'WITH' && insertsAfterWith(tokens)) return insert(tokens, params)
  if (READS.has(verb)) return { kind: 'read', tokens, tables: tablesOf(tokens, params) }
  if (META.has(verb)) return { kind: 'meta', tokens }
  if (SESSION.has(verb)) return { kind: 'session', tokens, verb }
  return CHANGES.has(verb) ? { kind: 'change', tokens, verb } : { kind: 'other', tokens }
}

function hasSeveral(tokens: Tokens, last: number): boolean {
  for (let i = 0; i < last; i++) if (tokens.kind(i) === SYMBOL && tokens.word(i) === ';') return true
  return false
}

function insertsAfterWith(tokens: Tokens): boolean {
  for (let i = 1; i < tokens.count; i++) {
    if (tokens.depth(i) === 0 && tokens.word(i) === 'INSERT' && tokens.word(i + 1) === 'INTO') return true
  }
  return false
}

/** Whether the text begins with the whole head of an INSERT with rows. Most statements are told by their first word. */
export function isInsertHead(sql: string): boolean {
  if (readTokens(sql, () => true).word(0) !== 'INSERT') return false
  const statement = readStatement(sql)
  return statement.kind === 'insert' && statement.isWhole
}

/** True once the newest token is the last one of the head of an INSERT with rows. */
function endsInsertHead(tokens: Tokens): boolean {
  const last = tokens.count - 1
  if (last < 3 || tokens.depth(last) !== 0 || tokens.word(0) !== 'INSERT') return false
  if (tokens.word(last) === 'VALUES') return true
  return tokens.word(last - 1) === 'FORMAT' && !selects(tokens)
}

/** Whether an INSERT takes its rows from a query. */
function selects(tokens: Tokens): boolean {
  for (let i = 2; i < tokens.count; i++) {
    const word = tokens.depth(i) === 0 ? tokens.word(i) : ''
    if (word === 'SELECT' || word === 'WITH' || word === 'WATCH') return true
    // INSERT INTO t (SELECT ...): a list of columns does not begin so.
    if (word === '(' && (tokens.word(i + 1) === 'SELECT' || tokens.word(i + 1) === 'WITH')) return true
  }
  return false
}

function insert(tokens: Tokens, params: Params): Statement {
  let at = tokens.word(1) === 'INTO' ? 2 : 1
  if (tokens.word(0) !== 'INSERT')
    return { kind: 'insert-select', tokens, target: { database: '', table: '' } }
  if (tokens.word(at) === 'TABLE') at++
  if (tokens.word(at) === 'FUNCTION') return { kind: 'change', tokens, verb: 'INSERT INTO FUNCTION' }
  const name = tableAt(tokens, at, params)
  const target = name ?? { database: '', table: '' }
  if (selects(tokens)) return { kind: 'insert-select', tokens, target }
  const last = tokens.count - 1
  const isValues = tokens.word(last) === 'VALUES'
  const isFormat = tokens.word(last - 1) === 'FORMAT' && tokens.kind(last) === WORD
  if (name === null) return { kind: 'other', tokens }
  return {
    kind: 'insert',
    tokens,
    target,
    nameSpan: [tokens.start(at), tokens.end(name.end - 1)],
    format: isFormat ? tokens.text(last) : 'Values',
    dataAt: isValues || isFormat ? rowsStart(tokens.sql, tokens.end(last)) : tokens.sql.length,
    isWhole: isValues || isFormat,
  }
}

/** Rows begin after blanks up to and including one line break, or at the first other character. */
function rowsStart(sql: string, from: number): number {
  let i = from
  while (i < sql.length && /[ \t\r]/.test(sql[i] as string)) i++
  if (sql[i] === ';' && sql.slice(i + 1).trim() === '') return sql.length
  return sql[i] === '\n' ? i + 1 : i
}

interface NamedTable extends TableName {
  /** The token after the name. */
  readonly end: number
}

/** The table named at token `i`; null if none is (a table function, a subquery). */
function tableAt(tokens: Tokens, i: number, params: Params): NamedTable | null {
  const part = (at: number): { name: string; end: number } | null => {
    const name = nameAt(tokens, at)
    if (name !== null) return { name, end: at + 1 }
    const param = paramAt(tokens, at, params)
    return param === null || param.type !== 'Identifier' ? null : { name: param.value, end: param.end }
  }
  const first = part(i)
  if (first === null) return null
  if (tokens.word(first.end) === '.') {
    const second = part(first.end + 1)
    return second === null ? null : { database: first.name, table: second.name, end: second.end }
  }
  if (tokens.word(first.end) === '(' && tokens.word(0) !== 'INSERT') return null
  return { database: '', table: first.name, end: first.end }
}

/** Every table that the SELECTs of a statement read. */
function tablesOf(tokens: Tokens, params: Params): TableRead[] {
  const found: TableRead[] = []
  const ctes = commonNames(tokens)
  for (let i = 0; i < tokens.count; i++) {
    if (tokens.kind(i) !== WORD) continue
    const word = tokens.word(i)
    const isFrom = word === 'FROM' || word === 'JOIN'
    // `x IN table`
    const isIn = word === 'IN' && tokens.word(i + 1) !== '(' && tokens.word(i + 1) !== '['
    if (!isFrom && !isIn) continue
    // extract(day FROM d), trim(x FROM y)
    if (word === 'FROM' && isWithinFunction(tokens, i)) continue
    for (let at: number | null = i + 1; at !== null; ) {
      const name = tableAt(tokens, at, params)
      if (name !== null && !(name.database === '' && ctes.has(name.table)) && tokens.kind(at) !== NUMBER) {
        const { database, table, end } = name
        found.push({ database, table, alias: aliasAt(tokens, end), conditions: conditionsAfter(tokens, i) })
      }
      at = word === 'FROM' ? afterComma(tokens, name?.end ?? at, tokens.depth(i)) : null
    }
  }
  return found
}

/** Whether a FROM stands in the parentheses of a function that has no SELECT of its own. */
function isWithinFunction(tokens: Tokens, i: number): boolean {
  const depth = tokens.depth(i)
  if (depth === 0) return false
  for (let at = i - 1; at >= 0 && tokens.depth(at) >= depth; at--) {
    if (tokens.depth(at) === depth && tokens.word(at) === 'SELECT') return false
  }
  // FROM t SELECT x
  return tokens.word(i - 1) !== '('
}

/** Names that a WITH gives to subqueries. */
function commonNames(tokens: Tokens): Set<string> {
  const names = new Set<string>()
  for (let i = 0; i < tokens.count; i++) {
    if (tokens.word(i) !== 'AS' || tokens.word(i + 1) !== '(') continue
    const name = nameAt(tokens, i - 1)
    const before = tokens.word(i - 2)
    if (name !== null && (before === 'WITH' || before === ',' || before === 'RECURSIVE')) names.add(name)
  }
  return names
}

function aliasAt(tokens: Tokens, i: number): string {
  if (tokens.word(i) === 'AS') return nameAt(tokens, i + 1) ?? ''
  return NOT_ALIAS.has(tokens.word(i)) ? '' : (nameAt(tokens, i) ?? '')
}

/** The token after a comma that continues a list of tables; null if none does. */
function afterComma(tokens: Tokens, from: number, depth: number): number | null {
  let i = from
  // Over a table function or subquery, an alias, FINAL and SAMPLE.
  for (; i < tokens.count && i < from + 400; i++) {
    if (tokens.depth(i) > depth) continue
    if (tokens.depth(i) < depth) return null
    const word = tokens.word(i)
    if (word === ',') return i + 1
    if (CLAUSES.has(word) || word === 'JOIN' || word === 'ARRAY' || word === 'ON') return null
  }
  return null
}

/** Ranges of the WHERE and PREWHERE that follow a FROM in the same SELECT. */
function conditionsAfter(tokens: Tokens, from: number): [number, number][] {
  const depth = tokens.depth(from)
  const ranges: [number, number][] = []
  let start = -1
  for (let i = from + 1; i <= tokens.count; i++) {
    const isEnd = i === tokens.count || tokens.depth(i) < depth
    if (!isEnd && tokens.depth(i) > depth) continue
    const word = isEnd || tokens.kind(i) !== WORD ? '' : tokens.word(i)
    if (start >= 0 && (isEnd || CLAUSES.has(word) || tokens.word(i) === ';')) {
      ranges.push([start, i])
      start = -1
    }
    if (isEnd || word === 'UNION' || word === 'EXCEPT' || word === 'INTERSECT') break
    if (word === 'WHERE' || word === 'PREWHERE') start = i + 1
  }
  return ranges
}

/** Whether the statement gives this name to something else: a condition on it may then mean that. */
export function renames(tokens: Tokens, column: string): boolean {
  for (let i = 1; i < tokens.count; i++) {
    if (nameAt(tokens, i) !== column) continue
    const before = tokens.word(i - 1)
    if (before === 'AS' || before === ')') return true
  }
  return false
}

/** Whether a top-level clause of the statement begins with one of these words. */
export function hasWord(tokens: Tokens, words: ReadonlySet<string>, depth = 0): string | null {
  for (let i = 0; i < tokens.count; i++) {
    if (tokens.depth(i) === depth && tokens.kind(i) === WORD && words.has(tokens.word(i)))
      return tokens.word(i)
  }
  return null
}
