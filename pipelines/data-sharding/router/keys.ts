import type { KeyType } from '#core/ports'
import { canonicalKey } from './rules.ts'
import {
  nameAt,
  NUMBER,
  QUOTED,
  readTokens,
  STRING,
  SYMBOL,
  type Tokens,
  unescaped,
  unquote,
  WORD,
} from './tokens.ts'

/** The shard key of one table, as a condition may name it. */
export interface KeyColumn {
  readonly column: string
  readonly type: KeyType
  /** Database of its table, '' if it is not known. */
  readonly database: string
  /** Names that may stand before it with a dot: the table and its alias. */
  readonly qualifiers: readonly string[]
  /** Whether one of these must: in a join an unqualified column may be that of another table. */
  readonly mustQualify: boolean
}

/** Values of `{name:Type}` substitutions, as the HTTP interface takes them. */
export type Params = ReadonlyMap<string, string>

/** More values than this and a query might as well ask everybody. */
const MAX_KEYS = 10_000

/**
 * The keys that a condition in `from..to` (tokens) allows: every row that fulfils it has one of them. Null if the
 * condition says nothing about the key. Only `key = value`, `key IN (values)`, AND, OR and parentheses are understood;
 * all else counts as any condition, so that a key is never taken from something that does not bind it.
 */
export function keysOf(
  tokens: Tokens,
  from: number,
  to: number,
  key: KeyColumn,
  params: Params,
): Set<string> | null {
  for (let i = from; i < to; i++) {
    const word = tokens.word(i)
    // Their operands cannot be told from conditions of the query.
    if (word === 'CASE' || word === '?') return null
  }
  return disjunction(tokens, from, to, key, params)
}

/** Ranges between the top-level occurrences of a word. A BETWEEN takes the AND that follows. */
function split(tokens: Tokens, from: number, to: number, separator: 'AND' | 'OR'): [number, number][] {
  const depth = tokens.depth(from)
  const parts: [number, number][] = []
  let start = from
  let between = 0
  for (let i = from; i < to; i++) {
    if (tokens.kind(i) !== WORD || tokens.depth(i) !== depth) continue
    const word = tokens.word(i)
    if (word === 'BETWEEN') between++
    else if (word === 'AND' && between > 0) between--
    else if (word === separator) {
      parts.push([start, i])
      start = i + 1
    }
  }
  parts.push([start, to])
  return parts
}

function disjunction(
  tokens: Tokens,
  from: number,
  to: number,
  key: KeyColumn,
  params: Params,
): Set<string> | null {
  const all = new Set<string>()
  for (const [a, b] of split(tokens, from, to, 'OR')) {
    const keys = conjunction(tokens, a, b, key, params)
    if (keys === null) return null
    for (const k of keys) all.add(k)
  }
  return all
}

function conjunction(
  tokens: Tokens,
  from: number,
  to: number,
  key: KeyColumn,
  params: Params,
): Set<string> | null {
  let found: Set<string> | null = null
  for (const [a, b] of split(tokens, from, to, 'AND')) {
    const keys = term(tokens, a, b, key, params)
    if (keys === null) continue
    found = new Set([...(found ?? keys)].filter((k) => keys.has(k)))
  }
  return found
}

function term(tokens: Tokens, from: number, to: number, key: KeyColumn, params: Params): Set<string> | null {
  if (from >= to) return null
  if (tokens.word(from) === '(' && closeOf(tokens, from, to) === to - 1) {
    return disjunction(tokens, from + 1, to - 1, key, params)
  }
  const afterColumn = columnEnd(tokens, from, key)
  if (afterColumn > 0) return comparison(tokens, afterColumn, to, key, params)
  // value = key
  const value = literal(tokens, from, key, params)
  if (value === null || tokens.word(value.end) !== '=') return null
  const column = value.end + (tokens.word(value.end + 1) === '=' ? 2 : 1)
  return columnEnd(tokens, column, key) === to ? new Set([value.key]) : null
}

/** What follows the column: `= value` or `IN (...)`. */
function comparison(
  tokens: Tokens,
  from: number,
  to: number,
  key: KeyColumn,
  params: Params,
): Set<string> | null {
  if (tokens.word(from) === '=') {
    const value = literal(tokens, from + (tokens.word(from + 1) === '=' ? 2 : 1), key, params)
    return value !== null && value.end === to ? new Set([value.key]) : null
  }
  if (tokens.word(from) !== 'IN') return null
  const open = tokens.word(from + 1)
  if (open === '(' || open === '[') {
    return closeOf(tokens, from + 1, to) === to - 1 ? list(tokens, from + 2, to - 1, key, params) : null
  }
  const param = paramAt(tokens, from + 1, params)
  if (param === null || param.end !== to || !/^(?:Array|Tuple)\b/i.test(param.type)) return null
  const inner = readTokens(param.value)
  const opens = inner.word(0) === '[' || inner.word(0) === '('
  const isList = opens && closeOf(inner, 0, inner.count) === inner.count - 1
  return isList ? list(inner, 1, inner.count - 1, key, params) : null
}

function list(tokens: Tokens, from: number, to: number, key: KeyColumn, params: Params): Set<string> | null {
  const keys = new Set<string>()
  for (let i = from; i < to; i++) {
    const value = literal(tokens, i, key, params)
    if (value === null || keys.size >= MAX_KEYS) return null
    keys.add(value.key)
    i = value.end
    if (i < to && tokens.word(i) !== ',') return null
  }
  return keys
}

/** The token after the key column that begins at `i`; -1 if another thing does. */
function columnEnd(tokens: Tokens, i: number, key: KeyColumn): number {
  const names: string[] = []
  for (let at = i; ; at += 2) {
    const kind = tokens.kind(at)
    const name: string | null = kind === WORD || kind === QUOTED ? nameAt(tokens, at) : null
    if (name === null) return -1
    names.push(name)
    if (tokens.word(at + 1) === '.') continue
    const column = names.at(-1)
    const [qualifier, database = key.database] = [names.at(-2), names.at(-3)]
    const fits = qualifier === undefined ? !key.mustQualify : key.qualifiers.includes(qualifier)
    const isIt = column === key.column && database === key.database && names.length <= 3
    return isIt && fits ? at + 1 : -1
  }
}

/** The parenthesis that closes the one at `i`; -1 if none does before `to`. */
export function closeOf(tokens: Tokens, i: number, to: number): number {
  const depth = tokens.depth(i)
  for (let at = i + 1; at < to; at++) if (tokens.kind(at) === SYMBOL && tokens.depth(at) === depth) return at
  return -1
}

/** A literal or a substitution at `i`, as a key. */
function literal(
  tokens: Tokens,
  i: number,
  key: KeyColumn,
  params: Params,
): { key: string; end: number } | null {
  const kind = tokens.kind(i)
  let text: string | null = null
  let end = i + 1
  if (kind === NUMBER && key.type === 'integer') text = tokens.text(i)
  else if (kind === STRING) text = unquote(tokens.text(i))
  else if (tokens.word(i) === '-' && tokens.kind(i + 1) === NUMBER && key.type === 'integer') {
    text = `-${tokens.text(i + 1)}`
    end = i + 2
  } else {
    const param = paramAt(tokens, i, params)
    if (param !== null && !/^(Array|Tuple|Map|Identifier)\b/i.test(param.type)) {
      text = param.value
      end = param.end
    }
  }
  const canonical = text === null ? null : canonicalKey(text, key.type)
  return canonical === null ? null : { key: canonical, end }
}

/** The substitution `{name:Type}` at `i` with its value; null if there is none or no value was sent. */
export function paramAt(
  tokens: Tokens,
  i: number,
  params: Params,
): { value: string; type: string; end: number } | null {
  if (tokens.word(i) !== '{') return null
  const close = closeOf(tokens, i, tokens.count)
  const name = nameAt(tokens, i + 1)
  if (close < 0 || name === null || tokens.word(i + 2) !== ':') return null
  const raw = params.get(name)
  const type = tokens.sql.slice(tokens.start(i + 3), tokens.start(close)).trim()
  // Values are escaped as in TabSeparated; within arrays the quotes have escapes of their own.
  const value = raw === undefined ? null : /^(Array|Tuple)\b/i.test(type) ? raw : unescaped(raw)
  return value === null ? null : { value, type, end: close + 1 }
}
