import { createHash } from 'node:crypto'
import type { Clock, Random, RecordCursor, TimerHandle, Timers, Warehouse } from '#core/ports'
import type { TableSpec } from '#schemas'
import { type Backoff, createBackoff } from './backoff.ts'
import type { SinkCounters } from './counters.ts'
import { RowBytes } from './row-bytes.ts'
import { compileRows } from './row-encoder.ts'

/** Rows of one table on their way: one block fills while another is being inserted. */
export interface TableLane {
  readonly table: string
  /** Columns of tombstones exist. */
  readonly keepsTombstones: boolean
  /** Bytes that wait, in both blocks. */
  readonly bytes: number
  /** Adds the row of the cursor's record. Throws RECORD_INVALID. */
  append(record: object | null, cursor: RecordCursor, partitionKey: string): void
  /** Sends the filling block if it is large enough; `force`: if it has any row. One insert is under way at a time. */
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
}

const newBlock = (out = new RowBytes()): Block => ({ out, rows: 0, ranges: new Map(), dropped: false })

/** A lane with nothing in it. */
export function createTableLane(deps: LaneDeps): TableLane {
  const { table, counters, timers } = deps
  const encoder = compileRows(table, deps.topicPrefix)
  const backoff: Backoff = createBackoff(timers, deps.random, FIRST_RETRY_MS, LAST_RETRY_MS)
  let filling = newBlock()
  let inserting: Block | null = null
  /** The buffer of the last block, used again. */
  let spare: RowBytes | null = null
  let age: TimerHandle | null = null
  const state = { closed: false }

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
        backoff.reset()
        return
      } catch (error) {
        counters.insertFailures++
        deps.onError(error as Error)
        if (!block.dropped && !state.closed) await backoff.pause()
      }
    }
  }

  function start(): void {
    age?.cancel()
    age = null
    const block = filling
    inserting = block
    filling = newBlock(spare ?? undefined)
    spare = null
    void insert(block).then(() => {
      counters.bufferedBytes -= block.out.length
      block.out.rewind(0)
      spare = block.out
      inserting = null
      lane.flush(age === null)
      return deps.onSettled()
    })
  }

  const lane: TableLane = {
    table: table.name,
    keepsTombstones: encoder.keepsTombstones,
    get bytes() {
      return filling.out.length + (inserting?.out.length ?? 0)
    },
    append(record, cursor, partitionKey) {
      const before = filling.out.length
      encoder.encode(filling.out, record, cursor)
      counters.bufferedBytes += filling.out.length - before
      if (filling.rows++ === 0) {
        age = timers.after(deps.flushMs, () => {
          age = null
          lane.flush(true)
        })
      }
      const range = filling.ranges.get(partitionKey)
      if (range === undefined)
        filling.ranges.set(partitionKey, { from: cursor.offset, to: cursor.offset + 1 })
      else range.to = cursor.offset + 1
    },
    flush(force) {
      if (inserting !== null || filling.rows === 0 || state.closed) return
      if (force || due()) start()
    },
    pendingFrom: (key) => {
      const older = inserting === null || inserting.dropped ? undefined : inserting.ranges.get(key)
      return (older ?? filling.ranges.get(key))?.from
    },
    drop() {
      age?.cancel()
      age = null
      counters.bufferedBytes -= filling.out.length
      filling.out.rewind(0)
      filling = newBlock(filling.out)
      if (inserting === null) return
      inserting.dropped = true
      backoff.wake()
    },
    close() {
      lane.drop()
      state.closed = true
      backoff.wake()
    },
  }
  return lane
}

/** The same rows of the same records have the same token, so that sending them again changes nothing. */
function blockToken(table: string, columns: readonly string[], block: Block): string {
  const hash = createHash('sha256').update(columns.join())
  for (const key of [...block.ranges.keys()].sort()) {
    const range = block.ranges.get(key)
    hash.update(`|${key}:${range?.from}-${range?.to}`)
  }
  return `${table}/${block.rows}/${hash.digest('hex').slice(0, 40)}`
}
