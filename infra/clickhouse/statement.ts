/** Where the parts of a statement lie, found without parsing SQL in full. */
export type Statement =
  | {
      /** Answers with rows: SELECT, SHOW, DESCRIBE, EXPLAIN, EXISTS, CHECK. */
      readonly kind: 'read'
      /** Offset before which `INTO OUTFILE` belongs. */
      readonly outfileAt: number
      /** Format named by the statement itself, '' if none. */
      readonly format: string
      readonly params: readonly string[]
    }
  | {
      /** INSERT whose rows follow the statement (`FORMAT X` or `VALUES`). */
      readonly kind: 'insert'
      /** Offset before which `FROM INFILE` belongs (a SETTINGS clause comes after it). */
      readonly infileAt: number
      /** End of the statement proper, before FORMAT or VALUES. */
      readonly headEnd: number
      readonly format: string
      /** Where the rows begin in the text; its length if none are inline. */
      readonly dataAt: number
      readonly params: readonly string[]
    }
  | { readonly kind: 'other'; readonly params: readonly string[] }

/** A statement that is refused before it reaches the engine, with ClickHouse's error code and name. */
export class StatementError extends Error {
  readonly code: number
  readonly errorName: string
  constructor(code: number, errorName: string, message: string) {
    super(message)
    this.name = 'StatementError'
    this.code = code
    this.errorName = errorName
  }
}

interface Token {
  readonly start: number
  readonly end: number
  /** Words in upper case, symbols as they are, '' for quoted text and numbers. */
  readonly word: string
  /** Depth of parentheses and brackets around it. */
  readonly depth: number
}

const READS = new Set(['SELECT', 'WITH', 'SHOW', 'DESC', 'DESCRIBE', 'EXPLAIN', 'EXISTS', 'CHECK', 'FROM'])
const SPACE = /\s/
const WORD = /[\p{L}_$][\p{L}\p{N}_$]*|\p{N}[\p{L}\p{N}_.]*/uy
const HEREDOC = /\$(\w*)\$/y

function skipBlank(sql: string, from: number): number {
  let i = from
  for (;;) {
    while (i < sql.length && SPACE.test(sql[i] ?? '')) i++
    const two = sql.slice(i, i + 2)
    if (two === '--' || two === '# ' || two === '#!') {
      const eol = sql.indexOf('\n', i)
      i = eol < 0 ? sql.length : eol + 1
    } else if (two === '/*') {
      const end = sql.indexOf('*/', i + 2)
      i = end < 0 ? sql.length : end + 2
    } else return i
  }
}

function quotedEnd(sql: string, from: number): number {
  const quote = sql[from]
  for (let i = from + 1; i < sql.length; i++) {
    if (sql[i] === '\\') i++
    else if (sql[i] === quote) {
      if (sql[i + 1] !== quote) return i + 1
      i++
    }
  }
  return sql.length
}

/** Walks the tokens of ClickHouse SQL: comments skipped, quoted text and heredocs as one token each. */
function* tokens(sql: string): Generator<Token> {
  let depth = 0
  for (let i = skipBlank(sql, 0); i < sql.length; ) {
    const char = sql[i] ?? ''
    let end = i + 1
    let word = char
    HEREDOC.lastIndex = i
    WORD.lastIndex = i
    const heredoc = char === '$' ? HEREDOC.exec(sql) : null
    const matched = heredoc ?? WORD.exec(sql)
    if (heredoc !== null) {
      const close = sql.indexOf(heredoc[0], i + heredoc[0].length)
      end = close < 0 ? sql.length : close + heredoc[0].length
      word = ''
    } else if (char === "'" || char === '"' || char === '`') {
      end = quotedEnd(sql, i)
      word = ''
    } else if (matched !== null) {
      end = i + matched[0].length
      word = matched[0].toUpperCase()
    }
    if (word === ')' || word === ']') depth--
    yield { start: i, end, word, depth }
    if (word === '(' || word === '[') depth++
    i = skipBlank(sql, end)
  }
}

/**
 * Classifies one statement. Throws StatementError for several statements in one text, and for
 * INTO OUTFILE and FROM INFILE, which name files of the server.
 */
export function readStatement(sql: string): Statement {
  const seen: Token[] = []
  for (const token of tokens(sql)) {
    seen.push(token)
    const [first, second] = seen
    if (first?.word === 'INSERT' && second?.word === 'INTO') {
      const insert = insertWithRows(sql, seen)
      if (insert !== null) return insert
    }
  }
  while (seen.at(-1)?.word === ';') seen.pop()
  if (seen.some((t) => t.word === ';')) {
    throw new StatementError(62, 'SYNTAX_ERROR', 'Syntax error (Multi-statements are not allowed)')
  }
  if (seen.length === 0) throw new StatementError(62, 'SYNTAX_ERROR', 'Syntax error: Empty query')
  refuseFiles(seen)
  const params = paramNames(sql, seen)
  const first = seen.find((t) => t.word !== '(')?.word ?? ''
  const writes = seen.some((t) => t.depth === 0 && t.word === 'INSERT')
  return READS.has(first) && !writes ? readWithFormat(sql, seen, params) : { kind: 'other', params }
}

function readWithFormat(sql: string, seen: readonly Token[], params: string[]): Statement {
  const end = seen.at(-1)?.end ?? sql.length
  const at = seen.findLastIndex((t) => t.depth === 0 && t.word === 'FORMAT')
  const name = seen[at + 1]
  const after = seen[at + 2]
  const isClause = at > 0 && name !== undefined && (after === undefined || after.word === 'SETTINGS')
  if (!isClause) return { kind: 'read', outfileAt: end, format: '', params }
  return { kind: 'read', outfileAt: seen[at]?.start ?? end, format: sql.slice(name.start, name.end), params }
}

/** An INSERT whose rows begin after the newest token of `seen`, or null. */
function insertWithRows(sql: string, seen: readonly Token[]): Statement | null {
  const last = seen.at(-1)
  const before = seen.at(-2)
  if (last === undefined || before === undefined || last.depth !== 0 || seen.length < 4) return null
  const isFormat = before.word === 'FORMAT' && before.depth === 0
  if (!isFormat && last.word !== 'VALUES') return null
  // `INSERT INTO t SELECT ... FORMAT X` has no rows of its own.
  if (seen.some((t) => t.depth === 0 && (t.word === 'SELECT' || t.word === 'WITH'))) return null
  refuseFiles(seen)
  const settings = seen.find((t) => t.depth === 0 && t.word === 'SETTINGS')
  const headEnd = isFormat ? before.start : last.start
  return {
    kind: 'insert',
    infileAt: settings?.start ?? headEnd,
    headEnd,
    format: isFormat ? sql.slice(last.start, last.end) : 'Values',
    dataAt: rowsStart(sql, last.end),
    params: paramNames(sql, seen),
  }
}

/** Rows begin after blanks up to and including one line break, or at the first other character. */
function rowsStart(sql: string, from: number): number {
  let i = from
  while (i < sql.length && (sql[i] === ' ' || sql[i] === '\t' || sql[i] === '\r')) i++
  if (sql[i] === ';' && sql.slice(i + 1).trim() === '') return sql.length
  return sql[i] === '\n' ? i + 1 : i
}

function refuseFiles(seen: readonly Token[]): void {
  for (let i = 1; i < seen.length; i++) {
    const pair = `${seen[i - 1]?.word} ${seen[i]?.word}`
    if (pair === 'INTO OUTFILE') {
      throw new StatementError(358, 'INTO_OUTFILE_NOT_ALLOWED', 'INTO OUTFILE is not allowed')
    }
    if (pair === 'FROM INFILE') {
      throw new StatementError(48, 'NOT_IMPLEMENTED', 'FROM INFILE is not allowed over HTTP: send the rows')
    }
  }
}

/** Names of the `{name:Type}` substitutions. */
function paramNames(sql: string, seen: readonly Token[]): string[] {
  const names: string[] = []
  for (let i = 2; i < seen.length; i++) {
    const name = seen[i - 1]
    if (seen[i]?.word === ':' && name !== undefined && name.word !== '' && seen[i - 2]?.word === '{') {
      names.push(sql.slice(name.start, name.end))
    }
  }
  return names
}
