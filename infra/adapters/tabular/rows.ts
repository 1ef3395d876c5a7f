import { ForestallError } from '#core/ports'
import { readLines } from './lines.ts'

/** A row by column name. CSV gives text; JSON lines whatever the line holds. */
type TableRow = Readonly<Record<string, unknown>>

/** A row and the line it stands on, counted from 1. */
export interface NumberedRow {
  readonly row: TableRow
  readonly line: number
}

/**
 * Rows of a `.csv`, `.jsonl` or `.ndjson` file, with `.gz` or without; empty lines are left out.
 * Throws CONFIG_INVALID for another ending, RECORD_INVALID for a line that cannot be read.
 */
export function readRows(path: string): AsyncGenerator<NumberedRow> {
  const name = path.replace(/\.gz$/, '')
  if (name.endsWith('.csv')) return readCsv(path)
  if (name.endsWith('.jsonl') || name.endsWith('.ndjson')) return readJsonLines(path)
  throw new ForestallError('CONFIG_INVALID', `${path} is neither .csv nor .jsonl (nor either with .gz).`)
}

async function* readCsv(path: string): AsyncGenerator<NumberedRow> {
  let header: string[] | null = null
  let line = 0
  for await (const text of readLines(path)) {
    line++
    if (text === '') continue
    const cells = splitCsv(text)
    if (header === null) {
      header = cells
      continue
    }
    if (cells.length !== header.length) {
      throw invalidLine(path, line, `it has ${cells.length} columns, the header ${header.length}`)
    }
    yield { row: Object.fromEntries(header.map((name, i) => [name, cells[i]])), line }
  }
}

async function* readJsonLines(path: string): AsyncGenerator<NumberedRow> {
  let line = 0
  for await (const text of readLines(path)) {
    line++
    if (text === '') continue
    yield { row: parseObject(path, line, text), line }
  }
}

function parseObject(path: string, line: number, text: string): TableRow {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw invalidLine(path, line, 'it is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw invalidLine(path, line, 'it is no object')
  }
  return value as TableRow
}

/** The refusal of a line. */
export const invalidLine = (path: string, line: number, why: string): ForestallError =>
  new ForestallError('RECORD_INVALID', `${path}, line ${line}: ${why}.`, {
    cure: 'Mend the line, or take it out, and run the command again.',
  })

/** Cells of one CSV line (RFC 4180, without line breaks inside quotes). */
function splitCsv(text: string): string[] {
  if (!text.includes('"')) return text.split(',')
  const cells: string[] = []
  const cell = /(?:"((?:[^"]|"")*)"|([^,]*))(,|$)/gy
  for (let match = cell.exec(text); match !== null; match = cell.exec(text)) {
    cells.push(match[1]?.replaceAll('""', '"') ?? match[2] ?? '')
    if (match[3] === '') break
  }
  return cells
}
