import { Buffer } from 'node:buffer'
import { createHash } from 'node:crypto'
import { fmix32, fnv1a } from '#core/math'
import type { WriteBlock } from '#schemas'
import { ForestallError, type RowsTarget } from '#core/ports'

/** Largest data of one block, bytes: with its head it stays below the 1 MiB that brokers take by default. */
export const MAX_BLOCK_BYTES = 512 * 1024
/** Largest single row, bytes: it is a block of its own. */
const MAX_ROW_BYTES = 900_000

/** How the write log of a service is laid out. */
export interface LogLayout {
  readonly service: string
  /** Segments of the service. */
  readonly segments: number
  /** Partitions of the topic: segment s lies in partition s mod partitions. */
  readonly partitions: number
}

/** The partition of the log that a segment's rows go through. */
export const partitionOfSegment = (segment: number, partitions: number): number => segment % partitions

/** The part of a block id before its number: the insert or statement that it belongs to. */
export const insertOf = (blockId: string): string => blockId.slice(0, blockId.lastIndexOf('/'))

/** A block and the partition it belongs into. */
export interface PlacedBlock {
  readonly partition: number
  readonly block: WriteBlock
}

/** Cuts a stream of rows into blocks. */
export interface BlockCutter {
  /**
   * Takes bytes of pairs (key, row), each a RowBinary `String`: length as varint, then bytes. Chunks may end anywhere.
   * Returns the blocks that are full. Throws RECORD_TOO_LARGE for a row that no block can hold.
   */
  push(chunk: Uint8Array): PlacedBlock[]
  /** The blocks that are left. Throws RECORD_UNDECODABLE if the stream ended within a row. */
  end(): PlacedBlock[]
  readonly rows: number
  readonly bytes: number
}

/** What is the same for all blocks of an insert. */
export interface InsertHead {
  /** Unique per insert; made of table and token (see `insertId`) if the client named one. */
  readonly id: string
  readonly target: RowsTarget
  /** Token of the client, '' if none. */
  readonly repeatToken: string
  readonly issuedAtMs: number
}

/** Tokens of clients that are longer than this are kept as a hash: they become part of every block's name. */
const LONGEST_TOKEN = 200

/** A client's token as the log names it. */
export const loggedToken = (token: string): string =>
  token.length <= LONGEST_TOKEN ? token : createHash('sha256').update(token).digest('base64url')

/** The id of an insert: the same for repeats of one that the client has given a token, else `unique`. */
export const insertId = (target: RowsTarget, repeatToken: string, unique: string): string =>
  repeatToken === '' ? unique : `repeat:${target.database}.${target.table}:${repeatToken}`

interface OpenPartition {
  /** Rows of each segment met, in order of arrival. */
  readonly rows: Map<number, Uint8Array[]>
  bytes: number
}

/** A cutter for one insert; blocks of a partition come out in the order of their rows. */
export function createBlockCutter(
  layout: LogLayout,
  head: InsertHead,
  maxBytes = MAX_BLOCK_BYTES,
): BlockCutter {
  const open = new Map<number, OpenPartition>()
  const numbers = new Map<number, number>()
  let left: Uint8Array = new Uint8Array(0)
  let rows = 0
  let bytes = 0

  function close(partition: number, { rows: bySegment }: OpenPartition): PlacedBlock {
    open.delete(partition)
    const sections = [...bySegment].sort(([a], [b]) => a - b)
    const number = numbers.get(partition) ?? 0
    numbers.set(partition, number + 1)
    const block: WriteBlock = {
      // Numbered by partition: a repeat of the same insert gives each block the same name.
      block_id: `${head.id}/${partition}.${number}`,
      kind: 'rows',
      service: layout.service,
      database: head.target.database,
      table: head.target.table,
      columns: [...head.target.columns],
      sections: sections.map(([segment, list]) => ({
        segment,
        rows: list.length,
        bytes: list.reduce((sum, row) => sum + row.length, 0),
      })),
      repeat_token: head.repeatToken === '' ? '' : `${head.repeatToken}/${partition}.${number}`,
      statement: '',
      issued_at_ms: head.issuedAtMs,
      data: Buffer.concat(sections.flatMap(([, list]) => list)),
    }
    return { partition, block }
  }

  function add(segment: number, row: Uint8Array, full: PlacedBlock[]): void {
    if (row.length > MAX_ROW_BYTES) throw tooLarge(row.length)
    const partition = partitionOfSegment(segment, layout.partitions)
    let entry = open.get(partition)
    if (entry !== undefined && entry.bytes + row.length > maxBytes) {
      full.push(close(partition, entry))
      entry = undefined
    }
    if (entry === undefined) open.set(partition, (entry = { rows: new Map(), bytes: 0 }))
    const list = entry.rows.get(segment)
    if (list === undefined) entry.rows.set(segment, [row])
    else list.push(row)
    entry.bytes += row.length
    rows++
    bytes += row.length
  }

  return {
    push(chunk) {
      const full: PlacedBlock[] = []
      const buffer = left.length === 0 ? chunk : Buffer.concat([left, chunk])
      let at = 0
      for (;;) {
        const key = readString(buffer, at)
        const row = key === null ? null : readString(buffer, key.end)
        if (key === null || row === null) break
        const segment = fmix32(fnv1a(buffer, key.start, key.end - key.start)) % layout.segments
        add(segment, buffer.subarray(row.start, row.end), full)
        at = row.end
      }
      left = buffer.subarray(at)
      if (left.length > 2 * MAX_ROW_BYTES) throw tooLarge(left.length)
      return full
    },
    end() {
      if (left.length > 0) throw new ForestallError('RECORD_UNDECODABLE', 'The rows end within a row.')
      return [...open].sort(([a], [b]) => a - b).map(([partition, entry]) => close(partition, entry))
    },
    get rows() {
      return rows
    },
    get bytes() {
      return bytes
    },
  }
}

/** The rows of some segments of a block, in RowBinary; null if it has none. */
export function rowsOf(block: WriteBlock, isWanted: (segment: number) => boolean): Uint8Array | null {
  const parts: Uint8Array[] = []
  let at = 0
  for (const { segment, bytes } of block.sections) {
    if (isWanted(segment)) parts.push(block.data.subarray(at, at + bytes))
    at += bytes
  }
  if (parts.length === block.sections.length) return at === 0 ? null : block.data
  return parts.length === 0 ? null : Buffer.concat(parts)
}

/** The same statement, or a mark, for every partition. */
export function blockForAll(
  layout: LogLayout,
  kind: 'statement' | 'mark',
  of: { id: string; database: string; statement: string; issuedAtMs: number },
): PlacedBlock[] {
  return Array.from({ length: layout.partitions }, (_, partition) => ({
    partition,
    block: {
      block_id: `${of.id}/${partition}`,
      kind,
      service: layout.service,
      database: of.database,
      table: '',
      columns: [],
      sections: [],
      repeat_token: '',
      statement: of.statement,
      issued_at_ms: of.issuedAtMs,
      data: Buffer.alloc(0),
    },
  }))
}

/** A RowBinary String at `from`; null if the buffer ends before it does. */
function readString(buffer: Uint8Array, from: number): { start: number; end: number } | null {
  let length = 0
  let scale = 1
  for (let at = from; at < buffer.length; at++) {
    const byte = buffer[at] as number
    length += (byte & 127) * scale
    if (byte >= 128) {
      scale *= 128
      continue
    }
    const start = at + 1
    return start + length <= buffer.length ? { start, end: start + length } : null
  }
  return null
}

const tooLarge = (bytes: number): ForestallError =>
  new ForestallError('RECORD_TOO_LARGE', `A row of ${bytes} bytes is larger than the log takes.`, {
    cure: `Rows of sharded tables may have ${MAX_ROW_BYTES} bytes.`,
  })
