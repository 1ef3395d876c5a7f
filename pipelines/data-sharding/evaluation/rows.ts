import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { ForestallError } from '#core/ports'

/** The cells asked for of one row, and the line it stands on, counted from 1. */
export interface TextRow {
  readonly cells: readonly string[]
  readonly line: number
}

/** Refuses a line of a file. */
export const badLine = (path: string, line: number, why: string, cure: string): ForestallError =>
  new ForestallError('CONFIG_INVALID', `${path}, line ${line}: ${why}`, { cure })

/** A text file, unpacked if its name ends in .gz, without byte order mark. Throws CONFIG_INVALID if it cannot be read. */
export function readText(path: string): string {
  try {
    const bytes = readFileSync(path)
    const text = (path.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString()
    return text.startsWith('\uFEFF') ? text.slice(1) : text
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `${path} cannot be read: ${(cause as Error).message}`, {
      cure: 'Give a file that may be read; one that ends in .gz has to be whole gzip.',
      cause,
    })
  }
}

/** Cells of a CSV line (RFC 4180, without line breaks inside quotes). */
export function csvCells(line: string): string[] {
  if (!line.includes('"')) return line.split(',')
  const cells: string[] = []
  for (const match of line.matchAll(/(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/gy)) {
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '')
    if (match[3] === '') break
  }
  return cells
}

/** Names of the columns of a CSV text. */
export const csvHeader = (text: string): string[] => csvCells(text.slice(0, lineEnd(text, 0)).trimEnd())

function lineEnd(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  return end < 0 ? text.length : end
}

/**
 * Rows of a CSV text as the cells of the columns named; '' for what a row lacks.
 * Throws CONFIG_INVALID if there is no such column.
 */
export function* csvRows(text: string, path: string, names: readonly string[]): Generator<TextRow> {
  const head = csvHeader(text)
  const columns = names.map((name) => head.indexOf(name))
  const missing = names.find((_, i) => columns[i]! < 0)
  if (missing !== undefined)
    throw badLine(
      path,
      1,
      `no column '${missing}' among '${head.join(',')}'`,
      `Name the columns ${names.join(', ')} in the first line.`,
    )
  let line = 1
  for (let from = lineEnd(text, 0) + 1; from < text.length; ) {
    const end = lineEnd(text, from)
    const row = text.slice(from, text[end - 1] === '\r' ? end - 1 : end)
    from = end + 1
    line++
    if (row === '') continue
    const cells = csvCells(row)
    yield { cells: columns.map((c) => cells[c] ?? ''), line }
  }
}

/** Milliseconds of an ISO time with a zone or without (then UTC), or of a number: seconds, or ms from 1e11 on. */
export function timeMs(text: string): number {
  const number = Number(text)
  if (text !== '' && Number.isFinite(number)) return number >= 1e11 ? number : number * 1000
  const iso = text.replace(' ', 'T')
  return Date.parse(/([zZ]|[+-]\d\d:?\d\d)$/.test(iso) || !iso.includes('T') ? iso : `${iso}Z`)
}

/** The same; throws CONFIG_INVALID with the line if the text is no time. */
export function timeOf(path: string, line: number, text: string): number {
  const ms = timeMs(text)
  if (Number.isFinite(ms)) return ms
  throw badLine(
    path,
    line,
    text === '' ? 'no time' : `'${text}' is no time`,
    'Write ISO 8601 (UTC where no zone is given), or seconds or milliseconds since 1970.',
  )
}
