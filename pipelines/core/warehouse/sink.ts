import { randomUUID } from 'node:crypto'
import {
  type Assignment,
  type Broker,
  type Clock,
  type GroupHandler,
  isError,
  mulberry32,
  partitionKey,
  type Random,
  type RecordCursor,
  systemTimers,
  type TimerHandle,
  type Timers,
  type TopicPartition,
  type Warehouse,
} from '#core/ports'
import { fillsTable, type TableSpec } from '#schemas'
import { type Committer, createCommitter } from './committer.ts'
import { createSinkCounters, type SinkCounters } from './counters.ts'
import { awaitDrained } from './drain.ts'
import { createProgress, type Progress } from './progress.ts'
import { createSinkGroup, type SinkGroup } from './sink-group.ts'
import { type Decode, readBatch, type UndecodableRecord } from './sink-input.ts'
import { createTableLane, type TableLane } from './table-lane.ts'

/** Settings of a sink. */
export interface SinkOptions {
  readonly broker: Broker
  readonly warehouse: Warehouse
  readonly groupId: string
  readonly tables: readonly TableSpec[]
  readonly decode: Decode
  readonly clock: Clock
  readonly timers?: Timers
  /** For the jitter of retries. */
  readonly random?: Random
  /** Prefix of the topics of a replay. */
  readonly topicPrefix?: string
  /** Rows of a table that are inserted at once. Default 50,000. */
  readonly flushRows?: number
  /** Longest time that a row waits for others. Default 1,000. */
  readonly flushMs?: number
  /** Bound of the rows that wait, bytes; reading pauses above it. Each table has its share. Default 128 MiB. */
  readonly maxBufferedBytes?: number
  /** Static membership; one per process of the group. */
  readonly groupInstanceId?: string
  /** How often new topics are looked for, ms. Default 30,000. */
  readonly topicRefreshMs?: number
  /** Failures that the sink mends by trying again, and PRODUCER_FENCED or INSTANCE_FENCED, after which it has stopped. */
  onError(error: Error): void
  onUndecodable?(record: UndecodableRecord): void | Promise<void>
  /** Counters to count in; default new ones. */
  readonly metrics?: SinkCounters
}

/** Copies topics into tables: at least once, and exactly once under FINAL. */
export interface Sink {
  readonly metrics: SinkCounters
  start(): Promise<void>
  /** Writes and commits what has been read (for at most 10 s), then leaves the group. May be called twice. */
  stop(): Promise<void>
  /** Per `topic:partition` of this member: everything before this offset is in the warehouse. */
  positions(): Map<string, number>
  /** Resolves once all members have brought everything that stands in the topics now into the warehouse. */
  drained(): Promise<void>
}

const STOP_FLUSH_MS = 10_000
const LOOK_AGAIN_MS = 250
const MIN_LANE_BYTES = 1 << 20
const FETCH_BYTES = 32 << 20

/**
 * Reads topics as a member of a group, inserts their records, and commits offsets only once the rows before
 * them are durable. Each table has its own lane: one that ClickHouse refuses holds back only its own topics.
 */
export function createSink(options: SinkOptions): Sink {
  return new TableSink(options)
}

class TableSink implements Sink, GroupHandler {
  readonly metrics: SinkCounters
  readonly #o: SinkOptions
  readonly #timers: Timers
  readonly #flushMs: number
  readonly #laneBytes: number
  readonly #lanes: TableLane[]
  readonly #lanesByTopic = new Map<string, TableLane[]>()
  readonly #progress: Progress
  readonly #committer: Committer
  readonly #group: SinkGroup
  readonly #paused = new Set<TableLane>()
  /** Called when rows have been acknowledged or offsets committed. */
  readonly #waiting = new Set<() => void>()
  #committing: Promise<void> = Promise.resolve()
  #commitTimer: TimerHandle | null = null
  #started = false
  #stopping: Promise<void> | null = null

  constructor(options: SinkOptions) {
    const { broker, groupId, groupInstanceId, tables, clock } = options
    const {
      timers = systemTimers,
      random = mulberry32(clock.nowMs()),
      maxBufferedBytes = 128 << 20,
    } = options
    this.#o = options
    this.#timers = timers
    this.#flushMs = options.flushMs ?? 1000
    this.#laneBytes = Math.max(MIN_LANE_BYTES, Math.floor(maxBufferedBytes / tables.length))
    this.metrics = options.metrics ?? createSinkCounters()
    this.#lanes = tables.map((table) => this.#lane(table, random))
    this.#progress = createProgress((topic) => this.#lanesOf(topic))
    this.#committer = createCommitter(broker, groupId, `${groupId}-${groupInstanceId ?? randomUUID()}`)
    this.#group = createSinkGroup({
      broker,
      groupId,
      groupInstanceId,
      maxBytes: Math.min(FETCH_BYTES, Math.max(MIN_LANE_BYTES, Math.floor(maxBufferedBytes / 4))),
      topicRefreshMs: options.topicRefreshMs ?? 30_000,
      timers,
      random,
      wants: (topic) => topic.startsWith(options.topicPrefix ?? '') && this.#lanesOf(topic).length > 0,
      handler: this,
    })
  }

  async start(): Promise<void> {
    if (this.#started || this.#stopping !== null) return
    this.#started = true
    await this.#group.start()
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#shutDown(true)
    return this.#stopping
  }

  positions(): Map<string, number> {
    return this.#progress.positions()
  }

  async drained(): Promise<void> {
    const { broker, groupId } = this.#o
    await awaitDrained(broker, groupId, await this.#group.topics(), async () => {
      for (const lane of this.#lanes) lane.flush(true)
      const settled = this.#settled()
      const again = this.#timers.after(LOOK_AGAIN_MS, settled.resolve)
      await settled.promise
      again.cancel()
    })
  }

  onAssigned(next: Assignment): Map<string, number> {
    this.#forget()
    this.#group.joined()
    this.metrics.assignments++
    return this.#progress.assign(next)
  }

  async onRevoked(): Promise<void> {
    await this.#commit()
    this.#forget()
  }

  async onBatch(cursor: RecordCursor): Promise<void> {
    if (this.#progress.assignment === null) return
    const key = partitionKey(cursor.topic, cursor.partition)
    const lanes = this.#lanesOf(cursor.topic)
    await readBatch(cursor, key, lanes, {
      decode: this.#o.decode,
      counters: this.metrics,
      onUndecodable: (record) => this.#undecodable(record),
    })
    this.#progress.read(key, cursor.nextOffset)
    for (const lane of lanes) {
      lane.flush(false)
      if (lane.bytes >= this.#laneBytes) this.#pause(lane)
    }
    // Offsets of records that make no row are committed too, if not with others.
    this.#commitTimer ??= this.#timers.after(this.#flushMs, () => {
      this.#commitTimer = null
      void this.#commit()
    })
  }

  onError(error: Error): void {
    this.#o.onError(error)
    if (isError(error, 'INSTANCE_FENCED')) this.#end()
    else this.#group.restart()
  }

  #lane(table: TableSpec, random: Random): TableLane {
    const { warehouse, clock, topicPrefix = '', flushRows = 50_000 } = this.#o
    return createTableLane({
      table,
      topicPrefix,
      warehouse,
      clock,
      timers: this.#timers,
      random,
      counters: this.metrics,
      flushRows,
      flushBytes: this.#laneBytes / 4,
      flushMs: this.#flushMs,
      onSettled: () => this.#onSettled(),
      onError: (error) => this.#o.onError(error),
    })
  }

  #lanesOf(topic: string): TableLane[] {
    let found = this.#lanesByTopic.get(topic)
    if (found === undefined) {
      const { tables, topicPrefix = '' } = this.#o
      const name = topic.slice(topicPrefix.length)
      found = this.#lanes.filter((_, i) => fillsTable(tables[i] as TableSpec, name))
      this.#lanesByTopic.set(topic, found)
    }
    return found
  }

  #partitionsOf(lane: TableLane): TopicPartition[] {
    const mine = this.#progress.assignment?.partitions ?? []
    return mine.filter((p) => this.#lanesOf(p.topic).includes(lane))
  }

  /** Also called for lanes that are paused: a new assignment begins with none paused at the reader. */
  #pause(lane: TableLane): void {
    if (!this.#paused.has(lane)) this.metrics.pauses++
    this.#paused.add(lane)
    this.#group.pause(this.#partitionsOf(lane))
  }

  #onSettled(): void {
    for (const lane of this.#paused) {
      if (lane.bytes > this.#laneBytes / 2) continue
      this.#paused.delete(lane)
      const blocked = (p: TopicPartition) => this.#lanesOf(p.topic).some((other) => this.#paused.has(other))
      this.#group.resume(this.#partitionsOf(lane).filter((p) => !blocked(p)))
    }
    void this.#commit()
    this.#notify()
  }

  #settled(): PromiseWithResolvers<void> {
    const settled = Promise.withResolvers<void>()
    this.#waiting.add(settled.resolve)
    return settled
  }

  #notify(): void {
    for (const wake of this.#waiting) wake()
    this.#waiting.clear()
  }

  async #undecodable(record: UndecodableRecord): Promise<void> {
    try {
      await this.#o.onUndecodable?.(record)
    } catch (error) {
      this.#o.onError(error as Error)
    }
  }

  /** What was read belongs to nobody any more: it is read again from the committed offset. */
  #forget(): void {
    this.#progress.clear()
    this.#paused.clear()
    for (const lane of this.#lanes) lane.drop()
  }

  /** Commits what is durable, one commit at a time. */
  #commit(): Promise<void> {
    this.#committing = this.#committing.then(() => this.#commitOnce())
    return this.#committing
  }

  async #commitOnce(): Promise<void> {
    const { assignment } = this.#progress
    const offsets = this.#progress.due()
    if (assignment === null || offsets.length === 0) return
    try {
      await this.#committer.commit(assignment, offsets)
      this.metrics.commits++
      if (this.#progress.assignment === assignment) this.#progress.committed(offsets)
      this.#notify()
    } catch (error) {
      this.#commitFailed(error as Error)
    }
  }

  #commitFailed(error: Error): void {
    this.#forget()
    if (isError(error, 'GENERATION_STALE')) this.metrics.staleGenerations++
    else this.#o.onError(error)
    if (isError(error, 'PRODUCER_FENCED')) this.#end()
    else this.#group.restart()
  }

  /** Another process has taken over: nothing of ours may be written any more. */
  #end(): void {
    this.#stopping ??= this.#shutDown(false)
    this.#stopping.catch((error: unknown) => this.#o.onError(error as Error))
  }

  async #shutDown(flush: boolean): Promise<void> {
    await this.#group.settle()
    if (flush) await this.#flushAll()
    this.#commitTimer?.cancel()
    await this.#group.close()
    for (const lane of this.#lanes) lane.close()
    await this.#committing
    await this.#committer.close()
    this.#notify()
  }

  async #flushAll(): Promise<void> {
    this.#group.pause([...(this.#progress.assignment?.partitions ?? [])])
    const state = { late: false }
    const timer = this.#timers.after(STOP_FLUSH_MS, () => {
      state.late = true
      this.#notify()
    })
    while (!state.late && this.#lanes.some((lane) => lane.bytes > 0)) {
      for (const lane of this.#lanes) lane.flush(true)
      await this.#settled().promise
    }
    timer.cancel()
  }
}
