import type { InsertHead, InsertSetting } from '#core/ports'
import type { Params } from './keys.ts'
import { READS, tableAt, type TableName, type TableRead, tablesOf } from './tables.ts'
import { readTokens, STRING, SYMBOL, type Tokens, unquote, WORD } from './tokens.ts'

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
    settings: settingsOf(tokens),
  }
}

/** The settings in the SETTINGS clause of a statement. */
function settingsOf(tokens: Tokens): InsertSetting[] {
  const found: InsertSetting[] = []
  let at = 0
  while (at < tokens.count && !(tokens.word(at) === 'SETTINGS' && tokens.depth(at) === 0)) at++
  for (; tokens.word(at + 2) === '='; at += 4) {
    const value = at + 3
    const text = tokens.kind(value) === STRING ? unquote(tokens.text(value)) : tokens.text(value)
    const span = [tokens.start(value), tokens.end(value)] as const
    found.push({ name: tokens.text(at + 1), value: text ?? '', span })
    if (tokens.word(at + 4) !== ',') break
  }
  return found
}

/** Rows begin after blanks up to and including one line break, or at the first other character. */
function rowsStart(sql: string, from: number): number {
  let i = from
  while (i < sql.length && /[ \t\r]/.test(sql[i] as string)) i++
  if (sql[i] === ';' && sql.slice(i + 1).trim() === '') return sql.length
  return sql[i] === '\n' ? i + 1 : i
}
