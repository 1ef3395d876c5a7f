import { join } from 'node:path'
import type { Flow } from '#schemas'
import { invalidLine, type NumberedRow, readRows } from './rows.ts'

/** How the rows of a table become flows. */
export interface FlowTableOptions {
  /** Who measured, or the id of the replay. */
  readonly origin: string
  /** Length of the interval that a row covers, ms. Default 300,000. */
  readonly intervalMs?: number
  /** Names of the columns. Defaults: those of the Abilene form (`ts, src, dst, bytes_5min`). */
  readonly columns?: Partial<FlowColumns>
  /** Rows before are left out; ms since 1970. */
  readonly fromMs?: number
  /** Rows at or after are left out. The file is read to its end all the same: rows need not be in order. */
  readonly toMs?: number
}

/** Columns of a table of flows. */
interface FlowColumns {
  /** Start of the interval: ISO 8601, or ms since 1970. */
  readonly time: string
  readonly source: string
  readonly destination: string
  readonly bytes: string
  /** Optional in the table: 0 if absent. */
  readonly packets: string
}

const ABILENE: FlowColumns = {
  time: 'ts',
  source: 'src',
  destination: 'dst',
  bytes: 'bytes_5min',
  packets: 'packets',
}
const ABILENE_FILE = 'od_traffic.csv.gz'
const INTERVAL_MS = 300_000

/** Flows of a dataset folder of the Abilene form (`od_traffic.csv.gz`): one per pair and interval, stream `SRC>DST`. */
export const readTrafficFolder = (folder: string, options: FlowTableOptions): AsyncGenerator<Flow> =>
  readFlowTable(join(folder, ABILENE_FILE), options)

/**
 * Flows of a CSV or JSON-lines table, in the order of its rows. Memory does not grow with the file.
 * Throws RECORD_INVALID with the line for a row that cannot be a flow, and what `readRows` throws.
 */
export async function* readFlowTable(path: string, options: FlowTableOptions): AsyncGenerator<Flow> {
  const { fromMs = Number.NEGATIVE_INFINITY, toMs = Number.POSITIVE_INFINITY } = options
  const columns = { ...ABILENE, ...options.columns }
  for await (const numbered of readRows(path)) {
    const flow = toFlow(path, numbered, columns, options)
    if (flow.event_time_ms >= fromMs && flow.event_time_ms < toMs) yield flow
  }
}

function toFlow(
  path: string,
  { row, line }: NumberedRow,
  columns: FlowColumns,
  options: FlowTableOptions,
): Flow {
  const refuse = (column: string, expected: string): Error =>
    invalidLine(path, line, `${column} is ${JSON.stringify(row[column])}, not ${expected}`)
  const amount = (column: string, value: unknown): number => {
    const number = typeof value === 'string' && value.trim() !== '' ? Number(value) : value
    if (typeof number !== 'number' || !Number.isFinite(number) || number < 0) throw refuse(column, 'a size')
    return number
  }
  const name = (column: string): string => {
    const value = row[column]
    if (typeof value !== 'string' || value === '') throw refuse(column, 'a name')
    return value
  }
  const time = row[columns.time]
  const eventTimeMs = typeof time === 'number' ? time : Date.parse(String(time))
  if (!Number.isSafeInteger(eventTimeMs)) throw refuse(columns.time, 'a time')
  const source = name(columns.source)
  const destination = name(columns.destination)
  return {
    event_time_ms: eventTimeMs,
    origin: options.origin,
    stream: `${source}>${destination}`,
    bytes: amount(columns.bytes, row[columns.bytes]),
    packets: amount(columns.packets, row[columns.packets] ?? 0),
    protocol: 0,
    src_port: 0,
    dst_port: 0,
    flow_hash: 0,
    duration_ms: options.intervalMs ?? INTERVAL_MS,
    src_addr: '',
    dst_addr: '',
    src_region: source,
    dst_region: destination,
    sampling_rate: 1,
  }
}
