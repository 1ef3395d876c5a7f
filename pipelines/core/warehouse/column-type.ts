import { ForestallError } from '#core/ports'

/** A ClickHouse type, taken apart: `Map(String, Float64)` is Map of String and Float64. */
export interface ColumnType {
  readonly name: string
  readonly args: readonly ColumnType[]
  /** Names of the elements of Tuple and Nested, '' where there is none. */
  readonly labels: readonly string[]
}

const OUTER = /^\s*(\w+)\s*(?:\((.*)\))?\s*$/s
const LABELLED = /^\s*(?:`([^`]+)`|(\w+))\s+(\S.*)$/s

/** Reads the text of a type. Throws CONFIG_INVALID if it is none. */
export function parseColumnType(text: string): ColumnType {
  const [, name, inner] = OUTER.exec(text) ?? []
  if (name === undefined) throw new ForestallError('CONFIG_INVALID', `'${text}' is not a ClickHouse type.`)
  const parts = inner === undefined ? [] : splitArguments(inner)
  const labelled = name === 'Tuple' || name === 'Nested'
  const labels: string[] = []
  const args = parts.map((part) => {
    const [, quoted, plain, type] = (labelled && LABELLED.exec(part)) || []
    labels.push(quoted ?? plain ?? '')
    return parseColumnType(type ?? part)
  })
  return { name, args, labels }
}

/** Splits at commas that are in no parentheses. */
function splitArguments(text: string): string[] {
  const parts: string[] = []
  let depth = 0
  let start = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '(') depth++
    else if (char === ')') depth--
    else if (char === ',' && depth === 0) {
      parts.push(text.slice(start, i))
      start = i + 1
    }
  }
  return [...parts, text.slice(start)]
}
