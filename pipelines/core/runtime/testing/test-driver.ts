import { Buffer } from 'node:buffer'
import type { RecordByName, RecordName } from '../../../../schemas/index.ts'
import { createCodec, type RecordCodec } from '../../codec/index.ts'
import { type ManualClock, manualClock, type OffsetToCommit, partitionKey } from '../../ports/index.ts'
import { type Counters, createCounters } from '../counters.ts'
import { deadLetterName } from '../dead-letter.ts'
import { END_OF_INPUT_MS, MARK_HEADER, markHeaders } from '../marks.ts'
import { createRecordReaders } from '../record-readers.ts'
import { SnapshotCollector } from '../snapshots.ts'
import type { Task, TaskContext, TaskStart } from '../task.ts'
import { createTasks, inputTopics } from '../tasks.ts'
import { internalTopics, type Topology } from '../topology.ts'
import { LogCursor, type LogRecord } from './log-cursor.ts'
import { createMemoryRegistry } from './memory-registry.ts'

/** Settings of a test driver. */
export interface TestDriverOptions {
  /** Partitions of each topic that is not internal; 1 if absent. */
  readonly partitions?: Readonly<Record<string, number>>
  readonly clock?: ManualClock
  /** Records handed to a task at a time. Default: all there are. */
  readonly batchRecords?: number
  /** Told what operators would hear of. Default: it fails the test. */
  readonly onWarning?: (error: Error) => void
}

/**
 * Runs topologies, one or several that feed each other, without a broker: records go into logs in memory, `run` lets the tasks work until nothing is left,
 * `commit` makes it stand, and `crash` throws away what was not committed and restores all tasks as after a kill.
 */
export interface TestDriver {
  readonly codec: RecordCodec
  readonly clock: ManualClock
  readonly counters: Counters
  /** Appends a record as a producer would. The Kafka timestamp is the clock's time unless given. */
  pipe<R extends RecordName>(
    topic: string,
    partition: number,
    record: R,
    value: RecordByName[R],
    timestampMs?: number,
  ): void
  /** Appends raw bytes: bad input. */
  pipeBytes(topic: string, partition: number, value: Buffer | null, timestampMs?: number): void
  /** Ends a bounded input: every partition of the topic gets an end mark. */
  end(topic: string): void
  /** Lets all tasks work until nothing is left, committing as it goes (unless told not to). */
  run(options?: { commit?: boolean }): Promise<void>
  /** Wall clock tick for all tasks (idleness). */
  tick(): void
  /** Drops what was not committed and restores every task from its commit notes. */
  crash(): Promise<void>
  /** Committed records of a topic, decoded, in order of partition and offset; progress marks are left out. */
  output<R extends RecordName>(topic: string, record: R): RecordByName[R][]
  /** Number of committed progress marks of a topic. */
  marks(topic: string): number
}

/**
 * Makes a driver; the tasks of all partitions are there from the start. Several topologies have positions of their own
 * (a consumer group each) over the same logs, and commit together.
 */
export async function createTestDriver(
  topologies: Topology | readonly Topology[],
  options: TestDriverOptions = {},
): Promise<TestDriver> {
  const driver = new MemoryDriver('name' in topologies ? [topologies] : topologies, options)
  await driver.prepare()
  return driver
}

class MemoryDriver implements TestDriver {
  readonly codec = createCodec(createMemoryRegistry())
  readonly clock: ManualClock
  counters = createCounters()
  readonly #topologies: readonly Topology[]
  readonly #options: TestDriverOptions
  readonly #partitions = new Map<string, number>()
  readonly #logs = new Map<string, LogRecord[]>()
  readonly #committed = new Map<string, { offset: number; metadata: string }>()
  #uncommitted: { key: string; record: LogRecord }[] = []
  #tasks: Task[] = []
  /** The group that a task's positions belong to. */
  #groups = new Map<Task, string>()
  #positions = new Map<Task, Map<string, number>>()

  constructor(topologies: readonly Topology[], options: TestDriverOptions) {
    this.#topologies = topologies
    this.#options = options
    this.clock = options.clock ?? manualClock()
  }

  async prepare(): Promise<void> {
    const records = this.#topologies.flatMap(({ sources, windows, rounds }) => [
      ...Object.values(sources),
      ...Object.values(windows).map((w) => w.to),
      ...Object.values(rounds).flatMap((r) => [...Object.values(r.inputs), ...Object.values(r.outputs)]),
    ])
    for (const { topic } of records) this.#partitions.set(topic, this.#options.partitions?.[topic] ?? 1)
    const internal = this.#topologies.flatMap((topology) =>
      internalTopics(topology, (topic) => this.#partitions.get(topic) ?? 1),
    )
    for (const { name, partitions } of internal) this.#partitions.set(name, partitions)
    const letters = records.map(({ topic }) => ({
      topic: deadLetterName(topic),
      record: 'DeadLetter' as const,
    }))
    await this.codec.prepare([...records, ...letters, { topic: 'audit.offsets', record: 'OffsetLedger' }])
    await this.crash()
  }

  #log(key: string): LogRecord[] {
    let log = this.#logs.get(key)
    if (log === undefined) this.#logs.set(key, (log = []))
    return log
  }

  pipe<R extends RecordName>(
    topic: string,
    partition: number,
    record: R,
    value: RecordByName[R],
    timestampMs?: number,
  ): void {
    this.pipeBytes(topic, partition, this.codec.encode(topic, record, value), timestampMs)
  }

  pipeBytes(topic: string, partition: number, value: Buffer | null, timestampMs = this.clock.nowMs()): void {
    this.#log(partitionKey(topic, partition)).push({ timestampMs, key: null, value, headers: [] })
  }

  end(topic: string): void {
    const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
    for (let p = 0; p < (this.#partitions.get(topic) ?? 1); p++) {
      this.#log(partitionKey(topic, p)).push({
        timestampMs: this.clock.nowMs(),
        key: null,
        value: null,
        headers,
      })
    }
  }

  async run({ commit = true }: { commit?: boolean } = {}): Promise<void> {
    for (let worked = true; worked; ) {
      worked = false
      for (const task of this.#tasks) {
        for (const { topic, partition } of task.inputs)
          worked = (await this.#feed(task, topic, partition)) || worked
      }
      if (commit) worked = this.#commit() || worked
    }
  }

  async #feed(task: Task, topic: string, partition: number): Promise<boolean> {
    const key = partitionKey(topic, partition)
    const positions = this.#positions.get(task) as Map<string, number>
    const from = positions.get(key) ?? 0
    const log = this.#log(key)
    const to = Math.min(log.length, from + (this.#options.batchRecords ?? Number.POSITIVE_INFINITY))
    if (from >= to) return false
    await task.process(new LogCursor(topic, partition, log, from, to))
    positions.set(key, to)
    return true
  }

  #groupKey(task: Task, topic: string, partition: number): string {
    return `${this.#groups.get(task)}/${partitionKey(topic, partition)}`
  }

  /** True if records became visible. */
  #commit(): boolean {
    for (const task of this.#tasks) {
      const offsets: OffsetToCommit[] = task.prepareCommit(this.clock.nowMs())
      for (const { topic, partition, offset, metadata } of offsets)
        this.#committed.set(this.#groupKey(task, topic, partition), { offset, metadata })
    }
    for (const { key, record } of this.#uncommitted) this.#log(key).push(record)
    const appended = this.#uncommitted.length > 0
    this.#uncommitted = []
    return appended
  }

  tick(): void {
    for (const task of this.#tasks) task.tick(this.clock.nowMs(), 0)
  }

  async crash(): Promise<void> {
    this.#uncommitted = []
    const context = this.#context()
    this.#groups = new Map()
    for (const topology of this.#topologies) {
      const assigned = inputTopics(topology).flatMap((topic) =>
        Array.from({ length: this.#partitions.get(topic) ?? 1 }, (_, partition) => ({ topic, partition })),
      )
      const snapshots = async (topic: string, partition: number) => this.#snapshot(topic, partition)
      for (const task of createTasks(topology, assigned, context, snapshots))
        this.#groups.set(task, topology.name)
    }
    this.#tasks = [...this.#groups.keys()]
    this.#positions = new Map()
    for (const task of this.#tasks) {
      const starts = new Map<string, TaskStart>()
      for (const { topic, partition } of task.inputs) {
        const key = partitionKey(topic, partition)
        const committed = this.#committed.get(this.#groupKey(task, topic, partition)) ?? {
          offset: -1,
          metadata: '',
        }
        starts.set(key, { committed: { topic, partition, ...committed }, earliest: 0 })
      }
      this.#positions.set(task, new Map(await task.restore(starts)))
    }
  }

  #context(): TaskContext {
    return {
      out: {
        emit: (topic, partition, timestampMs, key, value, headers = []) => {
          this.counters.recordsOut++
          const copy = (bytes: Uint8Array | null) => (bytes === null ? null : Buffer.from(bytes))
          const record = { timestampMs, key: copy(key), value: copy(value), headers }
          this.#uncommitted.push({ key: partitionKey(topic, partition), record })
        },
      },
      encoder: this.codec,
      readers: createRecordReaders(this.codec),
      clock: this.clock,
      counters: this.counters,
      partitionsOf: (topic) => this.#partitions.get(topic) ?? 1,
      topicName: (topic) => topic,
      merged: () => undefined,
      warn: (error) => {
        if (this.#options.onWarning === undefined) throw error
        this.#options.onWarning(error)
      },
    }
  }

  #snapshot(topic: string, partition: number) {
    const collector = new SnapshotCollector()
    for (const { key, value } of this.#log(partitionKey(topic, partition))) {
      if (key !== null && value !== null) collector.add(key.toString(), value)
    }
    return collector.latest
  }

  #records(topic: string): LogRecord[] {
    const partitions = this.#partitions.get(topic) ?? 1
    return Array.from({ length: partitions }, (_, p) => this.#log(partitionKey(topic, p))).flat()
  }

  output<R extends RecordName>(topic: string, record: R): RecordByName[R][] {
    return this.#records(topic).flatMap(({ value }) =>
      value === null ? [] : [this.codec.decode(value, 0, value.length, record)],
    )
  }

  marks(topic: string): number {
    return this.#records(topic).filter(({ headers }) => headers.some(([name]) => name === MARK_HEADER)).length
  }
}
