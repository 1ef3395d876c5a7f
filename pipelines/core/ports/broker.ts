import type { Buffer } from 'node:buffer'

/** A partition of a topic. */
export interface TopicPartition {
  topic: string
  partition: number
}

/** What a group has committed for one partition: the next offset to read, and what the task noted with it. */
export interface CommittedOffset extends TopicPartition {
  /** -1: nothing committed. */
  offset: number
  /** Up to `offset.metadata.max.bytes` (4,096 by default) characters; '' if none. */
  metadata: string
}

/** An offset to commit. */
export interface OffsetToCommit extends TopicPartition {
  offset: number
  metadata: string
}

/**
 * Walks the records of one fetched batch in place. Its fields describe the present record and are
 * overwritten by the next `next()`; keys and values are ranges of `buffer`, never copies.
 */
export interface RecordCursor {
  readonly topic: string
  readonly partition: number
  /** The bytes (decompressed) that the ranges below point into. */
  readonly buffer: Buffer
  readonly offset: number
  /** Kafka timestamp in ms (create or append time, as the topic is configured). */
  readonly timestampMs: number
  readonly keyStart: number
  /** -1: null key. */
  readonly keyLength: number
  readonly valueStart: number
  /** -1: null value (tombstone). */
  readonly valueLength: number
  /** Start of the encoded headers: a zigzag varint count, then key length, key, value length, value each. */
  readonly headersStart: number
  /** End of the record: headers lie in headersStart..recordEnd. */
  readonly recordEnd: number
  /** The offset to commit once the whole batch is done. */
  readonly nextOffset: number
  /** Number of records the batch announces (an upper bound for what `next` yields). */
  readonly recordCount: number
  /** Moves to the next record; false at the end of the batch. */
  next(): boolean
}

/** What a member was given by the group. Commits of this assignment carry its generation: a zombie's are refused. */
export interface Assignment {
  generationId: number
  memberId: string
  groupInstanceId: string | null
  partitions: CommittedOffset[]
}

/** Called by a group reader; every callback is awaited before the reader goes on. */
export interface GroupHandler {
  /**
   * New assignment. Returns where to start each partition: a task with open windows starts before its committed offset.
   * Of a cooperative reader it lists only what is new; batches of what is kept, and further rebalances, may come
   * before it has returned.
   */
  onAssigned(assignment: Assignment): Promise<Map<string, number>> | Map<string, number>
  /**
   * Nothing is held any more. The group rebalances (cooperative: it has gone on without this member), or the reader
   * closes: finish or abort the open transaction under the old generation.
   */
  onRevoked(): Promise<void>
  /** Cooperative: a rebalance begins. Batches go on, but nothing may be committed until `onKept` or `onRevoked`. */
  onRebalance?(): Promise<void>
  /**
   * Cooperative: the rebalance is over. `kept` has the new generation, and the partitions that stay with what the group
   * has committed for them. `lost` belong to nobody until this resolves: commit what is done for them under `kept`.
   */
  onKept?(kept: Assignment, lost: TopicPartition[]): Promise<void>
  /** One batch, in offset order within its partition. The cursor is only valid until the promise settles. */
  onBatch(cursor: RecordCursor): Promise<void> | void
  /** A failure that the reader cannot mend by itself. */
  onError(error: Error): void
}

/** Settings of a group reader. */
export interface GroupReaderOptions {
  groupId: string
  topics: string[]
  /**
   * How partitions are dealt: 'aligned' (default) gives partition p of every topic to one member, so that a task may
   * read the same partition of several topics; 'single' gives all to one member, the others stand by.
   */
  assignment?: 'aligned' | 'single'
  /** Static membership: a restart within the session timeout keeps the assignment. */
  groupInstanceId?: string
  /** A static member leaves the group on `close`, as any other does, instead of keeping its place. Default false. */
  leavesOnClose?: boolean
  /** What stays with the member is kept through rebalances (KIP-429); the handler has `onRebalance` and `onKept`. Default false. */
  cooperative?: boolean
  sessionTimeoutMs?: number
  /** Largest answer of one fetch, bytes. */
  maxBytes?: number
  maxWaitMs?: number
  /** The bytes of a batch are overwritten by the next one: for handlers that keep none of them. Default false. */
  reuseBuffers?: boolean
}

/** A member of a consumer group that hands out batches in place (`read_committed`). */
export interface GroupReader {
  start(): Promise<void>
  /** Stops fetching of these partitions until `resume`: the means of back-pressure. */
  pause(partitions: TopicPartition[]): void
  resume(partitions: TopicPartition[]): void
  /** How long ago this member sent what the group last took from it, ms; Infinity for who is no member. */
  silenceMs(): number
  close(): Promise<void>
}

/** Reads given partitions without a group (decision snapshots, followers, audits). */
export interface PartitionReader {
  /** Resolves once all that is asked for has been handed out; with `follow`, only by `close`. */
  done: Promise<void>
  /** The next offset to read, per `topic:partition`. */
  position(partition: TopicPartition): number
  close(): Promise<void>
}

/** Settings of a partition reader. */
export interface PartitionReaderOptions {
  /** Where to begin: an offset, or 'earliest' | 'latest'. */
  partitions: (TopicPartition & { from: number | 'earliest' | 'latest' })[]
  /** Default true. */
  readCommitted?: boolean
  /** Go on for ever (default), or stop at the end offsets seen at the start: `stable` = last stable offset, `end` = waits until the position reaches the uncommitted end. */
  until?: 'forever' | 'stable' | 'end'
  onBatch(cursor: RecordCursor): Promise<void> | void
  onError?(error: Error): void
}

/** A Kafka header. */
export type Header = readonly [name: string, value: Uint8Array]

/** Sends records and offsets in transactions; one transaction is open at a time. */
export interface TransactionalProducer {
  /** Fences older producers of this transactional id and aborts what they left open. */
  init(): Promise<void>
  /** Adds a record to the open transaction; the bytes are copied at once. Sent in the background by size, at the latest by `commit`. */
  add(
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers?: readonly Header[],
  ): void
  /** Bytes added and not yet acknowledged: the means of back-pressure. */
  readonly pendingBytes: number
  /** True if records or offsets have been added since the last commit or abort. */
  readonly dirty: boolean
  /** Adds input offsets under the generation of their assignment (KIP-447). Throws GENERATION_STALE or PRODUCER_FENCED. */
  sendOffsets(groupId: string, assignment: Assignment, offsets: OffsetToCommit[]): Promise<void>
  commit(): Promise<void>
  abort(): Promise<void>
  close(): Promise<void>
}

/** Sends records outside transactions, idempotently (acks all). */
export interface Producer {
  /** Adds a record; resolves nothing: see `flush`. */
  add(
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers?: readonly Header[],
  ): void
  readonly pendingBytes: number
  /** Resolves when all that was added has been acknowledged by all in-sync replicas. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** A topic to create. */
export interface TopicSpec {
  name: string
  partitions: number
  /** -1: the broker's default. */
  replicationFactor?: number
  configs?: Record<string, string>
}

/** Topics, offsets and groups. */
export interface BrokerAdmin {
  /** Creates what is missing; leaves what exists (a differing partition count is an error). */
  ensureTopics(topics: TopicSpec[]): Promise<void>
  deleteTopics(names: string[]): Promise<void>
  listTopics(): Promise<string[]>
  /** Partitions of each topic, by name. Unknown topics are absent. */
  partitions(topics: string[]): Promise<Map<string, number>>
  /** `earliest`, `latest` (uncommitted end) or `stable` (last stable offset) per `topic:partition`. */
  offsets(partitions: TopicPartition[], which: 'earliest' | 'latest' | 'stable'): Promise<Map<string, number>>
  /** Stable committed offsets of a group (waits for transactions that are being completed). */
  committed(groupId: string, partitions: TopicPartition[]): Promise<CommittedOffset[]>
  deleteGroup(groupId: string): Promise<void>
  close(): Promise<void>
}

/** Everything Forestall needs of Kafka. `infra/kafka` is the real one; an in-memory one serves tests. */
export interface Broker {
  admin(): BrokerAdmin
  groupReader(options: GroupReaderOptions, handler: GroupHandler): GroupReader
  readPartitions(options: PartitionReaderOptions): PartitionReader
  transactionalProducer(options: {
    transactionalId: string
    transactionTimeoutMs?: number
  }): TransactionalProducer
  producer(): Producer
  close(): Promise<void>
}

/** The key under which maps of this port hold a partition. */
export const partitionKey = (topic: string, partition: number): string => `${topic}:${partition}`
