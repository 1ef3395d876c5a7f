import { createHash } from 'node:crypto'
import type { Clock, Random, RecordCursor, TimerHandle, Timers, Warehouse } from '#core/ports'
import { AVRO, type TableSpec } from '#schemas'
import { WIRE_HEADER_BYTES, wireSchemaId } from '../codec/index.ts'
import { type Backoff, createBackoff } from './backoff.ts'
import type { SinkCounters } from './counters.ts'
import { RowBytes } from './row-bytes.ts'
import { compileRows } from './row-encoder.ts'
import { compileTranscoder, type Transcode } from './transcoder.ts'

/** Rows of one table on their way: one block fills while others are being inserted. */
export interface TableLane {
  readonly table: string
  /** Columns of tombstones exist. */
  readonly keepsTombstones: boolean
  /** Bytes that wait, in all blocks. */
  readonly bytes: number
  /** Adds the row of the cursor's record. Throws RECORD_INVALID. */
  append(record: object | null, cursor: RecordCursor, partitionKey: string): void
  /** Adds the row of the cursor's value in `buffer[start, end)` without decoding it; false if it needs `append`. */
  transcode(cursor: RecordCursor, start: number, end: number, partitionKey: string): boolean
  /** Prepares `transcode` for a writer schema (JSON text). */
  learn(schemaId: number, writerSchemaJson: string): void
  /** True if `learn` has seen this schema. */
  knows(schemaId: number): boolean
  /**
   * Sends the filling block if it is large enough; `force`: if it has any row and none is under way. A second one is
   * sent beside the first only if it is full: the warehouse sorts one while it receives the other.
   */
  flush(force: boolean): void
  /** The offset of the first row of this partition that is not acknowledged yet; undefined if all are. */
  pendingFrom(partitionKey: string): number | undefined
  /** Forgets all rows: their partitions now belong to someone else, or are read again. */
  drop(): void
  close(): void
}

/** What a lane needs. */
export interface LaneDeps {
  readonly table: TableSpec
  readonly topicPrefix: string
  readonly warehouse: Warehouse
  readonly clock: Clock
  readonly timers: Timers
  readonly random: Random
  readonly counters: SinkCounters
  readonly flushRows: number
  readonly flushBytes: number
  readonly flushMs: number
  /** Rows have been acknowledged, or dropped: `bytes` has shrunk. */
  onSettled(): void
  onError(error: Error): void
}

const FIRST_RETRY_MS = 250
const LAST_RETRY_MS = 10_000

interface Block {
  readonly out: RowBytes
  rows: number
  /** Per partition: the first offset, and one behind the last. */
  readonly ranges: Map<string, { from: number; to: number }>
  /** True once nobody waits for it: a failed insert is not tried again. */
  dropped: boolean
  readonly backoff: Backoff
}

const MOST_INSERTS = 2

/** A lane with nothing in it. */
export function createTableLane(deps: LaneDeps): TableLane {
  const { table, counters, timers } = deps
  const encoder = compileRows(table, deps.topicPrefix)
  const transcoders = new Map<number, Transcode | null>()
  /** Buffers of blocks that have been inserted, used again. */
  const spare: RowBytes[] = []
  const inserting = new Set<Block>()
  let filling = newBlock()
  let age: TimerHandle | null = null
  const state = { closed: false }

  function newBlock(): Block {
    const backoff = createBackoff(timers, deps.random, FIRST_RETRY_MS, LAST_RETRY_MS)
    return { out: spare.pop() ?? new RowBytes(), rows: 0, ranges: new Map(), dropped: false, backoff }
  }

  const due = () => filling.rows >= deps.flushRows || filling.out.length >= deps.flushBytes

  async function insert(block: Block): Promise<void> {
    const token = blockToken(table.name, encoder.columns, block)
    while (!block.dropped && !state.closed) {
      const startMs = deps.clock.nowMs()
      try {
        await deps.warehouse.insertRowBinary(table.name, encoder.columns, block.out.bytes(), { token })
        counters.inserts++
        counters.insertMs += deps.clock.nowMs() - startMs
        counters.bytes += block.out.length
        counters.rows[table.name] = (counters.rows[table.name] ?? 0) + block.rows
        return
      } catch (error) {
        counters.insertFailures++
        deps.onError(error as Error)
        if (!block.dropped && !state.closed) await block.backoff.pause()
      }
    }
  }

  function start(): void {
    age?.cancel()
    age = null
    const block = filling
    inserting.add(block)
    filling = newBlock()
    void insert(block).then(() => {
      counters.bufferedBytes -= block.out.length
      block.out.rewind(0)
      if (spare.length < MOST_INSERTS) spare.push(block.out)
      inserting.delete(block)
      lane.flush(age === null)
      return deps.onSettled()
    })
  }

  /** A row has been added to the block that held `before` bytes. */
  function added(before: number, offset: number, partitionKey: string): void {
    counters.bufferedBytes += filling.out.length - before
    if (filling.rows++ === 0) {
      age = timers.after(deps.flushMs, () => {
        age = null
        lane.flush(true)
      })
    }
    const range = filling.ranges.get(partitionKey)
    if (range === undefined) filling.ranges.set(partitionKey, { from: offset, to: offset + 1 })
    else range.to = offset + 1
  }

  const lane: TableLane = {
    table: table.name,
    keepsTombstones: encoder.keepsTombstones,
    get bytes() {
      return [...inserting].reduce((bytes, block) => bytes + block.out.length, filling.out.length)
    },
    append(record, cursor, partitionKey) {
      const before = filling.out.length
      encoder.encode(filling.out, record, cursor)
      added(before, cursor.offset, partitionKey)
    },
    transcode(cursor, start, end, partitionKey) {
      const id = wireSchemaId(cursor.buffer, start, end)
      const transcode = id < 0 ? undefined : transcoders.get(id)
      const before = filling.out.length
      if (!transcode?.(filling.out, cursor, start + WIRE_HEADER_BYTES, end)) return false
      added(before, cursor.offset, partitionKey)
      return true
    },
    learn(schemaId, text) {
      // Of another version, fields may lack or have other types: the general encoder resolves them.
      const ours = sameJson(text, AVRO[table.record])
      transcoders.set(schemaId, ours ? compileTranscoder(table, text) : null)
    },
    knows: (schemaId) => transcoders.has(schemaId),
    flush(force) {
      if (filling.rows === 0 || state.closed || inserting.size >= MOST_INSERTS) return
      if (due() || (force && inserting.size === 0)) start()
    },
    pendingFrom(key) {
      let from = filling.ranges.get(key)?.from
      for (const block of inserting) {
        const first = block.dropped ? undefined : block.ranges.get(key)?.from
        if (first !== undefined && first < (from ?? Infinity)) from = first
      }
      return from
    },
    drop() {
      age?.cancel()
      age = null
      counters.bufferedBytes -= filling.out.length
      filling.out.rewind(0)
      spare.push(filling.out)
      filling = newBlock()
      for (const block of inserting) {
        block.dropped = true
        block.backoff.wake()
      }
    },
    close() {
      lane.drop()
      state.closed = true
      for (const block of inserting) block.backoff.wake()
    },
  }
  return lane
}

/** Registries may lay a schema out anew. */
const sameJson = (a: string, b: string): boolean =>
  a === b || JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b))

/** The same rows of the same records have the same token, so that sending them again changes nothing. */
function blockToken(table: string, columns: readonly string[], block: Block): string {
  const hash = createHash('sha256').update(columns.join())
  for (const key of [...block.ranges.keys()].sort()) {
    const range = block.ranges.get(key)
    hash.update(`|${key}:${range?.from}-${range?.to}`)
  }
  return `${table}/${block.rows}/${hash.digest('hex').slice(0, 40)}`
}
