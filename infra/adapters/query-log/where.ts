/** Comments, quoted text, numbers, names and single signs of a statement. */
const TOKEN =
  /--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^'\\]|\\[\s\S]|'')*'|`(?:[^`\\]|\\[\s\S])*`|"(?:[^"\\]|\\[\s\S])*"|\d+(?:\.\d+)?|[A-Za-z_][\w.]*|\S/g
const MAX_STATEMENT_CHARS = 100_000

/**
 * The value that a statement compares a column with: `column = 'x'`, `column = 7`, or the only member of
 * `column IN ('x')`. Null if there is none, or more than one: then the query is not about one key.
 */
export function comparedWith(statement: string, column: string): string | null {
  const tokens = [...statement.slice(0, MAX_STATEMENT_CHARS).matchAll(TOKEN)]
    .map(([token]) => token)
    .filter((token) => !token.startsWith('--') && !token.startsWith('/*'))
  const found = new Set<string>()
  for (let i = 0; i < tokens.length; i++) {
    if (!isColumn(tokens[i] as string, column)) continue
    const value = tokens[i + 1] === '=' ? literal(tokens[i + 2]) : onlyMember(tokens, i + 1)
    if (value !== null) found.add(value)
  }
  const [only] = found
  return found.size === 1 ? (only as string) : null
}

/** A name, quoted or not, with a table before it or without. */
function isColumn(token: string, column: string): boolean {
  const name = /^[`"]/.test(token) ? token.slice(1, -1) : token
  return name === column || name.endsWith(`.${column}`)
}

function onlyMember(tokens: readonly string[], at: number): string | null {
  const isList = tokens[at]?.toUpperCase() === 'IN' && tokens[at + 1] === '(' && tokens[at + 3] === ')'
  return isList ? literal(tokens[at + 2]) : null
}

function literal(token: string | undefined): string | null {
  if (token === undefined) return null
  if (/^\d/.test(token)) return token
  if (!token.startsWith("'") || token.length < 2) return null
  return token
    .slice(1, -1)
    .replaceAll("''", "'")
    .replaceAll(/\\([\s\S])/g, '$1')
}
