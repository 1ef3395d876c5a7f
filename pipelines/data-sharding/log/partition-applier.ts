import { createHash } from 'node:crypto'
import type { RecordCodec } from '#core/codec'
import {
  type AppliedState,
  type Broker,
  type Clock,
  ForestallError,
  isError,
  type PartitionReader,
  type RecordCursor,
  type ReplicaStore,
  type StoredState,
  systemTimers,
  type TimerHandle,
  type Timers,
} from '#core/ports'
import type { WriteBlock } from '#schemas'
import { insertOf, rowsOf } from './blocks.ts'
import { createInsist } from './insist.ts'
import { createMutex } from './mutex.ts'
import { createSegmentJoin, type JoinDeps, type SegmentJoin } from './segment-join.ts'
import type { StatementGate } from './statement-gate.ts'

/** What a partition of an applier needs. */
export interface PartitionDeps {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly topic: string
  readonly store: ReplicaStore
  readonly gate: StatementGate
  /** The state is stored at the latest after this many blocks, and this long after a block. */
  readonly saveEveryBlocks: number
  readonly saveAfterMs: number
  readonly retryMs: number
  readonly timers?: Timers
  readonly clock: Clock
  /** See `ApplierOptions`. */
  readonly settled: () => Promise<void>
  /** Called whenever a position has moved. */
  readonly onMoved: () => void
  readonly onWarning: (error: Error) => void
}

/** One partition of the log at one replica. */
export interface PartitionApplier {
  start(): void
  stop(): Promise<void>
  /** Next offset to apply. */
  readonly next: number
  /** Next offset to apply of a segment; -1 if its rows are not applied here. */
  nextOf(segment: number): number
  readonly segments: ReadonlySet<number>
  /** What holds the partition up, '' if nothing. */
  readonly blockedBy: string
  hold(segment: number, from: number): Promise<void>
  release(segment: number): Promise<void>
  between<T>(work: (next: number) => Promise<T>): Promise<T>
}

/**
 * Replicas can prove for minutes only that they have the rows of a block. What was written earlier than this is taken
 * as known if its token is, ms.
 */
const PROVABLE_MS = 300_000

/**
 * An applier of one partition, from the state that was stored or from the beginning. Blocks before `begunAt` may have
 * been sent by a process before this one, those before `knownBefore` to a replica that was restarted since.
 */
export function createPartitionApplier(
  deps: PartitionDeps,
  initial: AppliedState,
  begunAt: number,
  knownBefore: number,
): PartitionApplier {
  const { broker, codec, topic, store, gate } = deps
  const { partition } = initial
  const timers = deps.timers ?? systemTimers
  const mutex = createMutex()
  const insist = createInsist(timers, deps.retryMs, deps.onWarning)
  const segments = new Set(initial.segments)
  const joins = new Map<number, SegmentJoin>()
  let setName = nameOf(segments)
  let { next, version } = initial
  let unsaved = 0
  let saving: Promise<void> = Promise.resolve()
  let saveTimer: TimerHandle | null = null
  let stopped = false
  /** A failure that nobody expects: nothing is applied any more, the position stays before it. */
  let failure = ''
  let reader: PartitionReader | null = null

  function takeState(): StoredState {
    unsaved = 0
    const joining = [...joins.values()].map(({ segment, next: own, attempt }) => ({
      segment,
      next: own,
      attempt,
    }))
    const hasRestarted = Math.min(next, ...joining.map((join) => join.next)) < knownBefore
    return { partition, version: ++version, next, segments: sortedSegments(segments), joining, hasRestarted }
  }

  function save(): Promise<void> {
    saveTimer?.cancel()
    saveTimer = null
    const state = takeState()
    saving = saving.catch(() => undefined).then(() => insist.run(() => store.saveApplied(topic, state)))
    return saving
  }

  function noteProgress(): void {
    deps.onMoved()
    const saveSoon = (): void => void save().catch(() => undefined)
    if (++unsaved >= deps.saveEveryBlocks) saveSoon()
    else saveTimer ??= timers.after(deps.saveAfterMs, saveSoon)
  }

  /**
   * Adds the rows of some segments. The token is made of the block and of what is stored (`set`, `attempt`), so that a
   * repeat after a crash has the same one.
   */
  async function insertRows(
    offset: number,
    block: WriteBlock,
    isWanted: (segment: number) => boolean,
    set: string,
    attempt = '',
    isFinal?: (error: unknown) => boolean,
  ): Promise<void> {
    const target = { database: block.database, table: block.table, columns: block.columns }
    const mayBeKnown = offset < knownBefore && block.issued_at_ms > deps.clock.nowMs() - PROVABLE_MS
    const insert = (rows: Uint8Array, token: string): Promise<void> =>
      insist.run(() => store.insert(target, rows, token, mayBeKnown), isFinal)
    if (block.repeat_token === '') {
      const rows = rowsOf(block, isWanted)
      if (rows !== null) await insert(rows, `${block.block_id}:${set}`)
      return
    }
    // The client may repeat its insert after the set has changed: one token per segment outlives that.
    for (const { segment } of block.sections) {
      const rows = isWanted(segment) ? rowsOf(block, (s) => s === segment) : null
      if (rows !== null) await insert(rows, `${block.repeat_token}:${segment}${attempt}`)
    }
  }

  async function applyMain(offset: number, block: WriteBlock): Promise<void> {
    if (offset < next) return
    if (block.kind === 'rows') await insertRows(offset, block, (s) => segments.has(s), setName)
    else if (block.kind === 'statement') {
      const id = insertOf(block.block_id)
      // No block before a statement is applied again after it: it may have changed what rows look like.
      await save()
      await gate.pass(id, partition, () =>
        insist.run(async () => {
          if (offset < begunAt) await deps.settled()
          // Asked again before each try: its answer may have been lost.
          if ((await store.statementOutcome(topic, id)) === null)
            await store.runStatement(topic, id, block.database, block.statement)
        }),
      )
    }
    next = offset + 1
    noteProgress()
  }

  const onMainBatch = (cursor: RecordCursor): Promise<void> =>
    guard(async () => {
      while (cursor.next()) {
        const { offset } = cursor
        const block = await decode(cursor)
        await mutex.run(() => applyMain(offset, block))
      }
      next = Math.max(next, cursor.nextOffset)
      deps.onMoved()
    })

  async function decode(cursor: RecordCursor): Promise<WriteBlock> {
    const { buffer, valueStart, valueLength } = cursor
    const record = buffer.subarray(valueStart, valueStart + valueLength)
    return insist.run(() => codec.decodeAsync(record, 0, record.length, 'WriteBlock'))
  }

  async function guard(work: () => Promise<void>): Promise<void> {
    if (stopped || failure !== '') return
    try {
      await work()
    } catch (error) {
      if (stopped) return
      failure = error instanceof Error ? error.message : String(error)
      deps.onWarning(error instanceof Error ? error : new Error(failure))
    }
  }

  function setSegment(segment: number, held: boolean): void {
    if (held) segments.add(segment)
    else segments.delete(segment)
    setName = nameOf(segments)
  }

  const joinDeps: JoinDeps = {
    broker,
    topic,
    partition,
    mutex,
    partitionNext: () => next,
    decode,
    guard,
    onWarning: deps.onWarning,
    async apply(offset, block, { segment, attempt }) {
      const name = `${segment}-${attempt}`
      await insertRows(offset, block, (s) => s === segment, name, attempt, isRefusal)
      noteProgress()
    },
    refused: (join, error) =>
      mutex.run(async () => {
        if (joins.get(join.segment) !== join) return
        joins.delete(join.segment)
        join.end(error)
        await save()
        deps.onMoved()
      }),
    async merge({ segment }) {
      joins.delete(segment)
      setSegment(segment, true)
      await save()
      deps.onMoved()
    },
  }
  for (const { segment, next: from, attempt } of initial.joining) {
    joins.set(segment, createSegmentJoin(joinDeps, segment, from, attempt))
  }

  /** The join that a segment needs to be held from `from` on; null if it is held. The mutex is held. */
  async function joinOf(segment: number, from: number): Promise<SegmentJoin | null> {
    if (segments.has(segment)) return null
    const known = joins.get(segment)
    if (known !== undefined) return known
    if (from > next) throw new ForestallError('REQUEST_INVALID', `Offset ${from} is ahead of ${next}.`)
    if (from === next) {
      setSegment(segment, true)
      await save()
      return null
    }
    const join = createSegmentJoin(joinDeps, segment, from, `join${version + 1}`)
    joins.set(segment, join)
    await save()
    join.start()
    return join
  }

  return {
    start() {
      reader = broker.readPartitions({
        partitions: [{ topic, partition, from: next }],
        onBatch: onMainBatch,
        onError(error) {
          if (isError(error, 'OFFSET_OUT_OF_RANGE')) failure = error.message
          deps.onWarning(error)
        },
      })
      for (const join of joins.values()) join.start()
    },
    async stop() {
      if (stopped) return
      stopped = true
      saveTimer?.cancel()
      insist.stop()
      await Promise.all([reader?.close(), ...[...joins.values()].map((join) => join.close())])
      // One try: what is not stored is applied again with the same tokens.
      if (unsaved > 0) await store.saveApplied(topic, takeState()).catch(deps.onWarning)
    },
    get next() {
      return next
    },
    nextOf: (segment) => (segments.has(segment) ? next : (joins.get(segment)?.next ?? -1)),
    segments,
    get blockedBy() {
      return failure === '' ? insist.failure : failure
    },
    async hold(segment, from) {
      const join = await mutex.run(() => joinOf(segment, from))
      await join?.merged
    },
    release: (segment) =>
      mutex.run(async () => {
        const join = joins.get(segment)
        joins.delete(segment)
        join?.end(new ForestallError('NOT_FOUND', `Segment ${segment} was released.`))
        setSegment(segment, false)
        await save()
        setImmediate(() => void join?.close())
      }),
    between: (work) => mutex.run(() => work(next)),
  }
}

/** Tables that are not what they were when the rows were written: trying again does not help. */
const isRefusal = (error: unknown): error is Error => isError(error, 'WAREHOUSE_REJECTED')

const sortedSegments = (segments: ReadonlySet<number>): number[] => [...segments].sort((a, b) => a - b)

/** A name of a set of segments: the same for the same set, whenever and wherever. */
function nameOf(segments: ReadonlySet<number>): string {
  return createHash('sha256').update(sortedSegments(segments).join(',')).digest('base64url').slice(0, 12)
}
