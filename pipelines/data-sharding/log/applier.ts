import type { RecordCodec } from '#core/codec'
import {
  type Broker,
  type Clock,
  ForestallError,
  partitionKey,
  type ReplicaStore,
  type StoredState,
  systemClock,
  type Timers,
} from '#core/ports'
import { type LogLayout, partitionOfSegment } from './blocks.ts'
import { createPartitionApplier, type PartitionApplier } from './partition-applier.ts'
import { createStatementGate, type StatementGate } from './statement-gate.ts'
import { takeoverVersion } from './versions.ts'
import { createWaiters } from './waiters.ts'

/** Tells what has been applied at a replica. */
export interface AppliedReader {
  /** Next offset to apply of a partition. */
  next(partition: number): number
  /** Next offset to apply of a segment; -1 if its rows are not applied here. */
  nextOf(segment: number): number
  /** Segments whose rows are applied here, those that catch up apart. */
  segments(): number[]
  /** Resolves with true once the segment has been applied up to (not including) `offset`, with false at `signal`. */
  reached(segment: number, offset: number, signal: AbortSignal): Promise<boolean>
  /** As `reached`, for a partition whatever is held of it. */
  reachedPartition(partition: number, offset: number, signal: AbortSignal): Promise<boolean>
  health(): ApplierHealth
}

/** Applies the write log to one replica: in order per partition, each block once, whatever crashes in between. */
export interface Applier extends AppliedReader {
  /** Reads what stands at the replica and goes on there; resolves once it reads. Rejects with NOT_FOUND if nothing does. */
  start(): Promise<void>
  /** Ends after the blocks under way; tolerates a second call. */
  stop(): Promise<void>
  /**
   * Begins to apply a segment from an offset not ahead of the partition's; resolves once it has caught up. It survives
   * a restart, and may be called again. Rejects with NOT_FOUND if it is released before, REQUEST_INVALID if ahead.
   */
  hold(segment: number, from: number): Promise<void>
  /** Ends applying a segment; its rows stay. Resolves once that is stored. */
  release(segment: number): Promise<void>
  /** Runs `work` between two blocks of a partition: nothing is applied to it meanwhile, up to `next` everything is. */
  between<T>(partition: number, work: (next: number) => Promise<T>): Promise<T>
}

/** The state of an applier. */
export interface ApplierHealth {
  readonly instance: string
  readonly partitions: readonly { partition: number; next: number; segments: number; blockedBy: string }[]
}

/** What an applier is made of. */
export interface ApplierOptions {
  readonly instance: string
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly topic: string
  readonly layout: LogLayout
  readonly store: ReplicaStore
  /** Positions are stored after this many blocks at the latest. Default 64. */
  readonly saveEveryBlocks?: number
  /** Positions are stored this long after a block at the latest. Default 200 ms. */
  readonly saveAfterMs?: number
  /** First pause after a failure of the replica. Default 50 ms. */
  readonly retryMs?: number
  readonly timers?: Timers
  readonly clock?: Clock
  /**
   * Resolves once nothing is carried out any more that an applier before this one has sent. Rows are applied before:
   * sent twice, they have the same token. Statements that it may have sent wait. Default: at once.
   */
  readonly settled?: () => Promise<void>
  onWarning?: (error: Error) => void
}

/** An applier of a replica that has begun (`storeFirstStates`); only one per replica may run at a time. */
export function createApplier(options: ApplierOptions): Applier {
  const { layout, store, topic, instance, onWarning = () => {} } = options
  const waiters = createWaiters()
  let partitions: PartitionApplier[] = []
  let gate: StatementGate | null = null
  const of = (segment: number) => partitions[partitionOfSegment(segment, layout.partitions)]
  const nextOf = (segment: number): number => of(segment)?.nextOf(segment) ?? -1

  const next = (partition: number): number => partitions[partition]?.next ?? 0

  function begun(partition: number, state: StoredState | undefined): StoredState {
    if (state !== undefined) return state
    throw new ForestallError(
      'NOT_FOUND',
      `Instance ${instance} has stored no position of ${topic} partition ${partition}: where it begins is decided before.`,
    )
  }

  async function open(): Promise<void> {
    const clock = options.clock ?? systemClock
    const settled = options.settled ?? (() => Promise.resolve())
    // A replica that was restarted is asked for proof of rows, and so has the applier before this one done.
    if ((await store.loadApplied(topic)).some(({ hasRestarted }) => hasRestarted === true)) await settled()
    const nowMs = clock.nowMs()
    const stored = new Map((await store.loadApplied(topic)).map((state) => [state.partition, state]))
    const made = createStatementGate(
      layout.partitions,
      async (id) => (await store.statementOutcome(topic, id)) !== null,
    )
    gate = made
    const ends = await endsOf(options.broker, topic, layout.partitions)
    const deps = {
      ...options,
      clock,
      gate: made,
      saveEveryBlocks: options.saveEveryBlocks ?? 64,
      saveAfterMs: options.saveAfterMs ?? 200,
      retryMs: options.retryMs ?? 50,
      onMoved: () => waiters.check(),
      onWarning,
      settled,
    }
    partitions = Array.from({ length: layout.partitions }, (_, partition) => {
      const state = begun(partition, stored.get(partition))
      const knownBefore = state.hasRestarted === true ? (ends[partition] ?? 0) : 0
      const version = takeoverVersion(state.version, nowMs)
      return createPartitionApplier(deps, { ...state, version }, ends[partition] ?? 0, knownBefore)
    })
  }

  return {
    async start() {
      await open()
      for (const partition of partitions) partition.start()
      waiters.check()
    },
    async stop() {
      gate?.close()
      await Promise.all(partitions.map((p) => p.stop()))
    },
    next,
    nextOf,
    segments: () => partitions.flatMap((p) => [...p.segments]).sort((a, b) => a - b),
    reached: (segment, offset, signal) => waiters.wait(() => nextOf(segment), offset, signal),
    reachedPartition: (partition, offset, signal) => waiters.wait(() => next(partition), offset, signal),
    hold: async (segment, from) => of(segment)?.hold(segment, from),
    release: async (segment) => of(segment)?.release(segment),
    between: (partition, work) => {
      const found = partitions[partition]
      if (found === undefined) throw new RangeError(`The log has no partition ${partition}.`)
      return found.between(work)
    },
    health: () => ({
      instance,
      partitions: partitions.map((p, partition) => ({
        partition,
        next: p.next,
        segments: p.segments.size,
        blockedBy: p.blockedBy,
      })),
    }),
  }
}

/** The present end of every partition. */
async function endsOf(broker: Broker, topic: string, partitions: number): Promise<number[]> {
  const admin = broker.admin()
  try {
    const all = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
    const ends = await admin.offsets(all, 'latest')
    return all.map(({ partition }) => ends.get(partitionKey(topic, partition)) ?? 0)
  } finally {
    await admin.close()
  }
}
