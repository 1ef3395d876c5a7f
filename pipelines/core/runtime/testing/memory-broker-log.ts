import type { LogRecord } from './log-cursor.ts'

/** A transaction of the broker in memory. */
export interface MemoryTransaction {
  state: 'open' | 'committed' | 'aborted'
  /** Resolves when it is committed or aborted. */
  readonly ended: Promise<void>
  end(commit: boolean): void
}

/** What follows an offset: records to hand out, or offsets to skip (void records, control records). */
export interface Run {
  readonly records: boolean
  readonly from: number
  readonly to: number
}

const MARKER: LogRecord = { timestampMs: 0, key: null, value: null, headers: [] }
const MAX_RUN = 500

/** One partition: records by offset, with the transaction that each belongs to. */
export class PartitionLog {
  readonly records: LogRecord[] = []
  readonly #owners: (MemoryTransaction | 'marker' | null)[] = []
  readonly #open = new Map<MemoryTransaction, number>()
  /** First offset kept. */
  start = 0

  /** The uncommitted end: offset of the next record. */
  get end(): number {
    return this.records.length
  }

  /** The last stable offset: readers of committed data see what lies below. */
  get stable(): number {
    let stable = this.end
    for (const first of this.#open.values()) stable = Math.min(stable, first)
    return stable
  }

  append(record: LogRecord, transaction: MemoryTransaction | null): void {
    if (transaction !== null && !this.#open.has(transaction)) this.#open.set(transaction, this.end)
    this.records.push(record)
    this.#owners.push(transaction)
  }

  /** Writes the control record that ends a transaction here: it takes an offset, as in Kafka. */
  endTransaction(transaction: MemoryTransaction): void {
    if (!this.#open.delete(transaction)) return
    this.records.push(MARKER)
    this.#owners.push('marker')
  }

  /** The longest run of one kind from `offset` on (at most 500 records); null if there is nothing to read yet. */
  run(offset: number, readCommitted: boolean): Run | null {
    const limit = Math.min(readCommitted ? this.stable : this.end, offset + MAX_RUN)
    if (offset >= limit) return null
    const records = this.#visible(offset, readCommitted)
    let to = offset + 1
    while (to < limit && this.#visible(to, readCommitted) === records) to++
    return { records, from: offset, to }
  }

  #visible(offset: number, readCommitted: boolean): boolean {
    const owner = this.#owners[offset] as MemoryTransaction | 'marker' | null
    if (owner === 'marker') return false
    return owner === null || !readCommitted || owner.state === 'committed'
  }
}
