/** Comments, quoted text, numbers, names and single signs of a statement. */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`\\]|\\[\s\S])*`|"(?:[^"\\]|\\[\s\S])*"|\d+(?:\.\d+)?|[A-Za-z_][\w.]*|\S/g
const MAX_STATEMENT_CHARS = 100_000

/**
 * The value that a statement compares a column with: `column = 'x'`, `column = 7`, or the only member of
 * `column IN ('x')`. Null if there is none, or more than one: then the query is not about one key. A server logs
 * parameters by their values: strings as they are, others as `_CAST(7, 'UInt64')`, dates as days since 1970.
 */
export function comparedWith(statement: string, column: string): string | null {
  const tokens = [...statement.slice(0, MAX_STATEMENT_CHARS).matchAll(TOKEN)]
    .map(([token]) => token)
    .filter((token) => !token.startsWith('--') && !token.startsWith('/*'))
  const found = new Set<string>()
  for (let i = 0; i < tokens.length; i++) {
    if (!isColumn(tokens[i] as string, column)) continue
    const next = tokens[i + 1]?.toUpperCase()
    const value = next === '=' ? valueAt(tokens, i + 2) : next === 'IN' ? memberAt(tokens, i + 2) : null
    if (value !== null) found.add(value.text)
  }
  const [only] = found
  return found.size === 1 ? (only as string) : null
}

/** A name, quoted or not, with a table before it or without. */
function isColumn(token: string, column: string): boolean {
  const name = /^[`"]/.test(token) ? token.slice(1, -1) : token
  return name === column || name.endsWith(`.${column}`)
}

/** A value, and where the tokens behind it begin. */
interface Value {
  readonly text: string
  readonly end: number
}
type Reader = (tokens: readonly string[], at: number) => Value | null

const scalarAt: Reader = (tokens, at) => {
  const sign = tokens[at] === '-' && /^\d/.test(tokens[at + 1] ?? '') ? '-' : ''
  const text = literal(tokens[at + sign.length])
  return text === null ? null : { text: `${sign}${text}`, end: at + sign.length + 1 }
}

/** What `read` reads, or that between the parentheses of a cast, before a comma and a type. */
const castOr =
  (read: Reader): Reader =>
  (tokens, at) => {
    if (tokens[at] !== '_CAST' || tokens[at + 1] !== '(') return read(tokens, at)
    const value = read(tokens, at + 2)
    if (value === null || tokens[value.end] !== ',' || tokens[value.end + 2] !== ')') return null
    const type = literal(tokens[value.end + 1])
    return type === null ? null : { text: ofType(value.text, type), end: value.end + 3 }
  }

const valueAt = castOr(scalarAt)

/** The only member of a list. */
const memberAt = castOr((tokens, at) => {
  const close = tokens[at] === '(' ? ')' : tokens[at] === '[' ? ']' : null
  const member = close === null ? null : valueAt(tokens, at + 1)
  return member !== null && tokens[member.end] === close ? { ...member, end: member.end + 1 } : null
})

const DAY_MS = 86_400_000
const DATE = /^(?:(?:Array|Nullable|LowCardinality)\()*Date(?:32)?\)*$/

/** A value as clients write it. */
const ofType = (text: string, type: string): string =>
  DATE.test(type) && /^-?\d{1,6}$/.test(text)
    ? new Date(Number(text) * DAY_MS).toISOString().slice(0, 10)
    : text

function literal(token: string | undefined): string | null {
  if (token === undefined) return null
  if (/^\d/.test(token)) return token
  if (!token.startsWith("'") || token.length < 2) return null
  return token
    .slice(1, -1)
    .replaceAll("''", "'")
    .replaceAll(/\\([\s\S])/g, '$1')
}
