import { type Broker, isError, type PartitionReader, type RecordCursor } from '#core/ports'
import type { WriteBlock } from '#schemas'
import type { Mutex } from './mutex.ts'

/** A segment that catches up with the rest of its partition. */
export interface SegmentJoin {
  readonly segment: number
  /** Next offset to apply. */
  readonly next: number
  /** Part of the tokens of its rows: see `AppliedState`. */
  readonly attempt: string
  /** Resolves once it has been merged; rejects if it is ended before. */
  readonly merged: Promise<void>
  start(): void
  end(reason: Error): void
  /** Closes the reader; not to be called from within a callback of it. */
  close(): Promise<void>
}

/** What a join needs of its partition. */
export interface JoinDeps {
  readonly broker: Broker
  readonly topic: string
  readonly partition: number
  /** Held by the partition while it applies a block. */
  readonly mutex: Mutex
  /** Next offset of the partition. */
  partitionNext(): number
  decode(cursor: RecordCursor): Promise<WriteBlock>
  /** Adds the rows of the segment. Rejects with WAREHOUSE_REJECTED if the replica will never take them. */
  apply(offset: number, block: WriteBlock, join: SegmentJoin): Promise<void>
  /** Takes the segment into the partition and stores that; the mutex is held. */
  merge(join: SegmentJoin): Promise<void>
  /** Ends a join whose rows are refused, and stores that; `hold` rejects with the error. */
  refused(join: SegmentJoin, error: Error): Promise<void>
  /** Runs work whose failure must end everything. */
  guard(work: () => Promise<void>): Promise<void>
  readonly onWarning: (error: Error) => void
}

/** A join is merged once it is at most this many records behind: until then the partition does not wait for it. */
const MERGE_WITHIN = 64

/** A join from `from` on, not started. */
export function createSegmentJoin(
  deps: JoinDeps,
  segment: number,
  from: number,
  attempt: string,
): SegmentJoin {
  const { mutex } = deps
  const merged = Promise.withResolvers<void>()
  merged.promise.catch(() => undefined)
  let next = from
  let ended = false
  let reader: PartitionReader | null = null

  const isOver = (): boolean => ended

  /** True if the join is over. The mutex is held. */
  async function mergeIfLevel(): Promise<boolean> {
    if (ended || next < deps.partitionNext()) return ended
    await deps.merge(join)
    ended = true
    merged.resolve()
    return true
  }

  async function step(offset: number, block: WriteBlock): Promise<void> {
    if (offset < next) return
    if (block.kind === 'rows' && block.sections.some((s) => s.segment === segment)) {
      await deps.apply(offset, block, join)
    }
    next = offset + 1
  }

  async function take(cursor: RecordCursor): Promise<void> {
    while (!isOver() && cursor.next()) {
      const { offset } = cursor
      const block = await deps.decode(cursor)
      if (offset < deps.partitionNext() - MERGE_WITHIN) await step(offset, block)
      // Near the end the partition waits, or the two would never meet.
      else await mutex.run(async () => ((await mergeIfLevel()) ? undefined : step(offset, block)))
    }
    if (ended) return
    next = Math.max(next, cursor.nextOffset)
    await mutex.run(mergeIfLevel)
  }

  const join: SegmentJoin = {
    segment,
    get next() {
      return next
    },
    attempt,
    merged: merged.promise,
    start() {
      reader = deps.broker.readPartitions({
        partitions: [{ topic: deps.topic, partition: deps.partition, from: next }],
        onBatch: (cursor) =>
          deps.guard(async () => {
            await take(cursor).catch((error: unknown) => {
              // A statement that came after them has changed the table: the partition must not wait for ever.
              if (isError(error, 'WAREHOUSE_REJECTED')) return deps.refused(join, error)
              throw error
            })
            // From outside this callback, which closing waits for.
            if (ended) setImmediate(() => void join.close())
          }),
        onError: deps.onWarning,
      })
    },
    end(reason) {
      ended = true
      merged.reject(reason)
    },
    async close() {
      const open = reader
      reader = null
      await open?.close().catch(deps.onWarning)
    },
  }
  return join
}
