import type { RecordName } from '../../../schemas/index.ts'
import {
  type Clock,
  ForestallError,
  type CommittedOffset,
  type Header,
  type OffsetToCommit,
  type RecordCursor,
  type TopicPartition,
} from '../ports/index.ts'
import type { Counters } from './counters.ts'
import type { RecordReaders } from './record-readers.ts'

/** Where tasks put what they produce; all of it belongs to the transaction of the next commit. */
export interface Emitter {
  emit(
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers?: readonly Header[],
  ): void
}

/** Encodes records of declared topics (Confluent wire format). */
export interface RecordEncoder {
  encode(topic: string, record: RecordName, value: object): Uint8Array
  /** As `encode`, valid until the next call of either: for what is emitted at once, which copies it. */
  encodeView(topic: string, record: RecordName, value: object): Uint8Array
}

/** Everything a task needs of the world. */
export interface TaskContext {
  readonly out: Emitter
  readonly encoder: RecordEncoder
  readonly readers: RecordReaders
  readonly clock: Clock
  readonly counters: Counters
  /** Partitions of a topic of the topology. */
  partitionsOf(topic: string): number
  /** Name of a topic on the broker: replays and demos have a prefix of their own. */
  topicName(topic: string): string
  /** Partial aggregates of so many bytes have arrived. */
  merged(bytes: number): void
  /** A state that operators must hear of (incomplete windows). */
  warn(error: Error): void
}

/** Where a task begins after an assignment. */
export interface TaskStart {
  readonly committed: CommittedOffset
  /** First offset that the broker still has. */
  readonly earliest: number
}

/**
 * The unit of work and of recovery: one node on one partition. A task owns its state, reads its inputs in offset
 * order, emits, and says what to commit; it never touches the broker.
 */
export interface Task {
  readonly id: string
  readonly inputs: readonly TopicPartition[]
  /** Restores from what was committed; returns the offset to read from, per input (`partitionKey`). */
  restore(starts: ReadonlyMap<string, TaskStart>): Promise<ReadonlyMap<string, number>>
  /** Takes one batch in. */
  process(cursor: RecordCursor): Promise<void>
  /** Regular tick, wall clock: idleness. `blindMs` of the time since the last tick nothing could have been seen. */
  tick(nowMs: number, blindMs: number): void
  /** True if a window or a round was emitted since the last commit: worth committing at once. */
  readonly urgent: boolean
  /** Writes what belongs to the commit (ledger) and returns the offsets to commit; empty if nothing changed. */
  prepareCommit(nowMs: number): OffsetToCommit[]
  /** Event time up to which it has acted, ms since 1970; -Infinity before the first, END_OF_INPUT_MS after a bounded input. */
  readonly watermarkMs: number
  /** Bytes of state held. */
  readonly bytes: number
}

/** The named error of a replay that needs records which retention has removed. */
export const lostInput = (
  task: string,
  input: TopicPartition,
  wanted: number,
  earliest: number,
): ForestallError =>
  new ForestallError(
    'OFFSET_OUT_OF_RANGE',
    `${task}: open windows need ${input.topic}-${input.partition} from offset ${wanted}, but the broker begins at ${earliest}; these windows are marked incomplete`,
  )
