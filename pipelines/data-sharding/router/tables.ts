import { paramAt, type Params } from './keys.ts'
import { nameAt, STRING, SYMBOL, type Tokens, unquote, WORD } from './tokens.ts'

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
  /** Whether its SELECT reads something else, too. */
  readonly isJoined: boolean
  /** Whether a WITH of the statement gives the same name to a subquery, somewhere. */
  readonly isShadowed: boolean
  /** '', or the table function that may read tables which its arguments name; `table` is '' then. */
  readonly via: string
  /** Names, texts and values of parameters in the arguments of that function. */
  readonly args: readonly string[]
}

/** Words with which a SELECT begins. */
export const READS: ReadonlySet<string> = new Set(['SELECT', 'WITH', 'FROM'])
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

/** Table functions that read tables which their arguments name or match. */
const READING_FUNCTIONS = /^(?:MERGE|LOOP|REMOTE|REMOTESECURE|CLUSTER|CLUSTERALLREPLICAS|MERGETREE\w+)$/

/** Every table that the SELECTs of a statement read. */
export function tablesOf(tokens: Tokens, params: Params): TableRead[] {
  const found: TableRead[] = []
  const ctes = commonNames(tokens)

  function read(name: NamedTable, from: number, isJoined: boolean): void {
    const { database, table, end } = name
    const isIn = tokens.word(from) === 'IN'
    found.push({
      database,
      table,
      alias: aliasAt(tokens, end),
      // What follows `x IN table` does not bind the rows of that table.
      conditions: isIn ? [] : conditionsAfter(tokens, from),
      isJoined,
      isShadowed: database === '' && ctes.has(table),
      via: '',
      args: [],
    })
  }

  function readThrough(at: number): void {
    const args: string[] = []
    for (let i = at + 2; i < tokens.count && tokens.depth(i) > tokens.depth(at); i++) {
      const name = tokens.kind(i) === STRING ? unquote(tokens.text(i)) : nameAt(tokens, i)
      const text = name ?? paramAt(tokens, i, params)?.value ?? ''
      if (text !== '') args.push(text)
    }
    const via = tokens.text(at)
    const nothing = { database: '', table: '', alias: '', conditions: [], isJoined: false, isShadowed: false }
    found.push({ ...nothing, via, args })
  }

  for (let i = 0; i < tokens.count; i++) {
    if (tokens.kind(i) !== WORD || tokens.word(i - 1) === '.') continue
    const word = tokens.word(i)
    const isJoin = word === 'JOIN' && tokens.word(i - 1) !== 'ARRAY'
    // `x IN table`
    const isIn = word === 'IN' && tokens.word(i + 1) !== '(' && tokens.word(i + 1) !== '['
    if (word !== 'FROM' && !isJoin && !isIn) continue
    // extract(day FROM d), trim(x FROM y)
    if (word === 'FROM' && isWithinFunction(tokens, i)) continue
    const isJoined = isJoin || (word === 'FROM' && readsSeveral(tokens, i))
    for (let at: number | null = i + 1; at !== null; ) {
      // FROM (a JOIN b)
      while (tokens.word(at) === '(') at++
      const isSubquery: boolean = tokens.word(at - 1) === '(' && READS.has(tokens.word(at))
      const name: NamedTable | null = isSubquery ? null : tableAt(tokens, at, params)
      if (name !== null) read(name, i, isJoined)
      else if (READING_FUNCTIONS.test(tokens.word(at))) readThrough(at)
      at = word === 'FROM' ? afterComma(tokens, name?.end ?? at, tokens.depth(i)) : null
    }
  }
  return found
}

/** Whether a FROM is followed by more than one table, subquery or table function. */
function readsSeveral(tokens: Tokens, from: number): boolean {
  const depth = tokens.depth(from)
  let first = from + 1
  while (tokens.word(first) === '(') first++
  if (first > from + 1 && !READS.has(tokens.word(first))) return true
  for (let i = from + 1; i < tokens.count && tokens.depth(i) >= depth; i++) {
    if (tokens.depth(i) > depth) continue
    const word = tokens.word(i)
    if (word === ',' || (word === 'JOIN' && tokens.word(i - 1) !== 'ARRAY')) return true
    if (CLAUSES.has(word) || word === 'SELECT') return false
  }
  return false
}

/** Whether a FROM stands in the parentheses of a function that has no SELECT of its own. */
function isWithinFunction(tokens: Tokens, i: number): boolean {
  const depth = tokens.depth(i)
  if (depth === 0) return false
  for (let at = i - 1; at >= 0 && tokens.depth(at) >= depth; at--) {
    const word = tokens.depth(at) === depth ? tokens.word(at) : ''
    if (word === 'SELECT' || word === 'WITH') return false
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
  for (; i < tokens.count; i++) {
    if (tokens.depth(i) > depth) continue
    if (tokens.depth(i) < depth) return null
    const word = tokens.word(i)
    if (word === ',') return i + 1
    if (CLAUSES.has(word) || word === 'JOIN' || word === 'ARRAY' || word === 'ON') return null
  }
  return null
}

/** Words after which a value or a name comes. */
const BEFORE_OPERANDS = new Set([
  'SELECT',
  'DISTINCT',
  'EXCEPT',
  'FROM',
  'JOIN',
  'ON',
  'USING',
  'WHERE',
  'PREWHERE',
  'HAVING',
  'QUALIFY',
  'BY',
  'AND',
  'OR',
  'NOT',
  'IN',
  'BETWEEN',
  'LIKE',
  'ILIKE',
  'REGEXP',
  'DIV',
  'MOD',
  'CASE',
  'WHEN',
  'THEN',
  'ELSE',
  'AS',
])

/** Whether a value or a name is due at token `i`, by what stands before it. */
function expectsOperand(tokens: Tokens, i: number): boolean {
  let at = i
  // `SELECT *` is a value, `a *` is not.
  while (tokens.word(at - 1) === '*') at--
  return isOperandDue(tokens, at) !== ((i - at) % 2 === 1)
}

function isOperandDue(tokens: Tokens, i: number): boolean {
  const before = tokens.word(i - 1)
  if (tokens.kind(i - 1) === WORD) return BEFORE_OPERANDS.has(before) && tokens.word(i - 2) !== '.'
  if (tokens.kind(i - 1) !== SYMBOL) return i === 0
  return before !== ')' && before !== ']' && before !== '}'
}

/** Ranges of the WHERE and PREWHERE that follow a FROM in the same SELECT. */
function conditionsAfter(tokens: Tokens, from: number): [number, number][] {
  const depth = tokens.depth(from)
  const ranges: [number, number][] = []
  let start = -1
  for (let i = from + 1; i <= tokens.count; i++) {
    const isEnd = i === tokens.count || tokens.depth(i) < depth
    if (!isEnd && tokens.depth(i) > depth) continue
    // Columns may be named as clauses are: `AND offset > 3`.
    const isClause = !isEnd && tokens.kind(i) === WORD && !expectsOperand(tokens, i)
    const word = isClause ? tokens.word(i) : ''
    if (start >= 0 && (isEnd || CLAUSES.has(word) || tokens.word(i) === ';')) {
      ranges.push([start, i])
      start = -1
    }
    if (isEnd || word === 'UNION' || word === 'EXCEPT' || word === 'INTERSECT') break
    if (word === 'WHERE' || word === 'PREWHERE') start = i + 1
  }
  return ranges
}

interface NamedTable extends TableName {
  /** The token after the name. */
  readonly end: number
}

/** The table named at token `i`; null if none is (a table function, a subquery). */
export function tableAt(tokens: Tokens, i: number, params: Params): NamedTable | null {
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

/** Whether the statement gives this name to something else: a condition on it may then mean that. */
export function renames(tokens: Tokens, column: string): boolean {
  for (let i = 1; i < tokens.count; i++) {
    if (nameAt(tokens, i) !== column) continue
    // `AS` may be left out: `SELECT total customer FROM orders`.
    if (tokens.word(i - 1) === 'AS' || !expectsOperand(tokens, i)) return true
  }
  return false
}
