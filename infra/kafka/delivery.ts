import { setImmediate as nextTurn } from 'node:timers/promises'
import type { RecordCursor } from '#core/ports'
import { Lz4Decoder } from './lz4.ts'
import { BatchCursor } from './record-cursor.ts'
import { openBatch } from './visible-batches.ts'
import type { FoundBatch } from './visible-batches.ts'

/** A partition being read. `fetchOffset` runs ahead of `position` by what is queued. */
export interface ReadPartition {
  readonly topic: string
  readonly partition: number
  readonly generationId: number
  /** Next offset to hand out. */
  position: number
  /** Next offset to ask for. */
  fetchOffset: number
  /** Counts restarts: what was fetched or queued under an older number is dropped. */
  round: number
  /** The offset was asked for (committed, or given by the caller): if it is gone, that is an error. */
  explicit: boolean
  paused: boolean
  stopped: boolean
}

/** Hands out fetched batches one at a time, in the order in which they came. */
export interface Delivery {
  push(partition: ReadPartition, batches: readonly FoundBatch[]): void
  /** Bytes (as fetched) that wait. */
  queuedBytes(): number
  /** Resolves when no callback runs; call after dropping what should not be handed out any more. */
  idle(): Promise<void>
}

interface Item {
  readonly partition: ReadPartition
  readonly round: number
  readonly batch: FoundBatch
}

/** After this long without a pause the event loop gets a turn, so that heartbeats go out during long catch-ups. */
const TURN_MS = 40

/** What delivery calls: `onMoved` after the position has changed, `onError` when a batch is corrupt or a callback throws. */
export interface DeliveryHandlers {
  onBatch(cursor: RecordCursor): Promise<void> | void
  onMoved(partition: ReadPartition): void
  /** Something has left the queue. */
  onTaken(): void
  /** Nothing of this answer waits any more. */
  onDone(answer: Buffer): void
  onError(error: unknown, partition: ReadPartition): void
}

/**
 * Creates an empty queue; its loop runs while there is something to hand out. With `reuseBuffers` the bytes of a batch
 * are overwritten by the next one.
 */
export function createDelivery(handlers: DeliveryHandlers, reuseBuffers = false): Delivery {
  const cursor = new BatchCursor()
  const lz4 = reuseBuffers ? new Lz4Decoder() : undefined
  const queue: Item[] = []
  /** Batches that are left, by answer. */
  const left = new Map<Buffer, number>()
  let bytes = 0
  let running: Promise<void> | null = null

  async function deliver({ partition, batch }: Item): Promise<void> {
    const source = batch.records
      ? openBatch(batch, partition.topic, partition.partition, partition.generationId, lz4)
      : null
    partition.position = batch.nextOffset // before the callback: it may pause, which rewinds to the position
    if (source !== null) {
      cursor.open(source)
      const done = handlers.onBatch(cursor)
      if (done !== undefined) await done
    }
    if (!partition.stopped) handlers.onMoved(partition)
  }

  function done(answer: Buffer): void {
    const others = (left.get(answer) as number) - 1
    if (others > 0) return void left.set(answer, others)
    left.delete(answer)
    handlers.onDone(answer)
  }

  async function run(): Promise<void> {
    let turnAt = performance.now()
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) {
      bytes -= item.batch.end - item.batch.at
      handlers.onTaken()
      try {
        if (item.partition.round === item.round) await deliver(item)
      } catch (error) {
        handlers.onError(error, item.partition)
      }
      done(item.batch.buffer)
      if (performance.now() - turnAt > TURN_MS) {
        await nextTurn()
        turnAt = performance.now()
      }
    }
    running = null // in the same turn as the last look at the queue: a push that follows starts the loop again
  }

  return {
    push(partition, batches) {
      for (const batch of batches) {
        queue.push({ partition, round: partition.round, batch })
        left.set(batch.buffer, (left.get(batch.buffer) ?? 0) + 1)
        bytes += batch.end - batch.at
      }
      if (queue.length > 0) running ??= Promise.resolve().then(run)
    },
    queuedBytes: () => bytes,
    idle: async () => running ?? undefined,
  }
}
