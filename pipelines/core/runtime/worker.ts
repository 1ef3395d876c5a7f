import type {
  Assignment,
  Broker,
  Clock,
  GroupReader,
  RecordCursor,
  TransactionalProducer,
} from '../ports/index.ts'
import { isError, partitionKey } from '../ports/index.ts'
import { type Counters, createCounters } from './counters.ts'
import type { RecordReaders } from './record-readers.ts'
import { readSnapshot } from './snapshots.ts'
import type { RecordEncoder, Task, TaskContext, TaskStart } from './task.ts'
import { createTasks, inputTopics } from './tasks.ts'
import type { Topology } from './topology.ts'

/** Settings of a worker; every time in ms. */
export interface WorkerOptions {
  readonly topology: Topology
  readonly broker: Broker
  readonly encoder: RecordEncoder
  readonly readers: RecordReaders
  readonly clock: Clock
  /** Stable name of this worker among those of the topology: names its transactional id and static group membership. */
  readonly slot: string
  /** Prefix of all topics and of the group: '' live, `replay-...` for replays. */
  readonly prefix?: string
  /** Longest time between commits while there is something to commit. Default 100. */
  readonly commitIntervalMs?: number
  /** Commit early when this much output is waiting. Default 16 MiB. */
  readonly maxPendingBytes?: number
  readonly sessionTimeoutMs?: number
  /** The worker cannot go on. */
  onFatal(error: Error): void
  /** Something operators must hear of, but the worker goes on. */
  onWarning?(error: Error): void
}

/** Runs the tasks of one topology that the group assigns to this member. */
export interface Worker {
  start(): Promise<void>
  /** Commits what is done, leaves the group and closes. Safe to call twice. */
  stop(): Promise<void>
  readonly counters: Counters
  /** The tasks it holds now, and the event time up to which each has acted. */
  tasks(): { readonly id: string; readonly watermarkMs: number }[]
  /** Bytes of window state held. */
  bytes(): number
}

/** Makes an inert worker. Exactly once: outputs and input offsets commit in one transaction under the generation of the assignment. */
export function createWorker(options: WorkerOptions): Worker {
  return new GroupWorker(options)
}

const DEFAULT_COMMIT_MS = 100
const DEFAULT_PENDING_BYTES = 16 << 20
const RETRY_MS = 500

/** Another process has taken this worker's place: going on would fence it in turn. */
const isFenced = (error: unknown): error is Error =>
  isError(error, 'PRODUCER_FENCED') || isError(error, 'INSTANCE_FENCED')

class GroupWorker implements Worker {
  readonly counters = createCounters()
  readonly #o: WorkerOptions
  readonly #producer: TransactionalProducer
  readonly #group: string
  #reader: GroupReader | undefined
  #assignment: Assignment | undefined
  #tasks: Task[] = []
  #byInput = new Map<string, Task[]>()
  #partitions = new Map<string, number>()
  #gate: Promise<unknown> = Promise.resolve()
  #lastCommitMs = 0
  #timer: NodeJS.Timeout | undefined
  #stopped = false
  #restarting = false
  #ticking = false

  constructor(options: WorkerOptions) {
    this.#o = options
    this.#group = `${options.prefix ?? ''}${options.topology.name}`
    this.#producer = options.broker.transactionalProducer({
      transactionalId: `${this.#group}-${options.slot}`,
    })
  }

  tasks(): { readonly id: string; readonly watermarkMs: number }[] {
    return this.#tasks.map(({ id, watermarkMs }) => ({ id, watermarkMs }))
  }

  bytes(): number {
    return this.#tasks.reduce((total, task) => total + task.bytes, 0)
  }

  async start(): Promise<void> {
    await this.#loadPartitions()
    await this.#producer.init()
    await this.#join()
    const everyMs = this.#o.commitIntervalMs ?? DEFAULT_COMMIT_MS
    this.#timer = setInterval(() => this.#queueTick(), everyMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    // Committed before the group is left: afterwards the generation would be refused.
    await this.#exclusive(() => this.#revoked())
    await this.#reader?.close()
    await this.#producer.close()
  }

  #topicName = (topic: string): string => `${this.#o.prefix ?? ''}${topic}`

  async #loadPartitions(): Promise<void> {
    const admin = this.#o.broker.admin()
    try {
      const names = (await admin.listTopics()).filter((name) => name.startsWith(this.#o.prefix ?? ''))
      this.#partitions = await admin.partitions(names)
    } finally {
      await admin.close()
    }
  }

  async #join(): Promise<void> {
    const { broker, topology, slot, sessionTimeoutMs } = this.#o
    this.#reader = broker.groupReader(
      {
        groupId: this.#group,
        topics: inputTopics(topology).map(this.#topicName),
        groupInstanceId: slot,
        assignment: Object.values(topology.rounds).some((round) => round.scope === 'all')
          ? 'single'
          : 'aligned',
        ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
      },
      {
        onAssigned: (assignment) => this.#exclusive(() => this.#assigned(assignment)),
        onRevoked: () => this.#exclusive(() => this.#revoked()),
        onBatch: (cursor) => this.#exclusive(() => this.#batch(cursor)),
        onError: (error) => this.#failed(error),
      },
    )
    await this.#reader.start()
  }

  /** Everything that touches tasks or the transaction runs one after the other. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#gate.then(work)
    this.#gate = result.catch(() => undefined)
    return result
  }

  #context(): TaskContext {
    const { encoder, readers, clock, onWarning } = this.#o
    return {
      out: {
        emit: (topic, partition, timestampMs, key, value, headers) => {
          this.counters.recordsOut++
          this.#producer.add(topic, partition, timestampMs, key, value, headers)
        },
      },
      encoder,
      readers,
      clock,
      counters: this.counters,
      partitionsOf: (topic) => this.#partitions.get(this.#topicName(topic)) ?? 1,
      topicName: this.#topicName,
      warn: (error) => onWarning?.(error),
    }
  }

  async #assigned(assignment: Assignment): Promise<Map<string, number>> {
    this.counters.assignments++
    this.#assignment = assignment
    const { broker, topology } = this.#o
    const admin = broker.admin()
    const earliest = await admin.offsets(assignment.partitions, 'earliest').finally(() => admin.close())
    const starts = new Map<string, TaskStart>()
    for (const committed of assignment.partitions) {
      const key = partitionKey(committed.topic, committed.partition)
      starts.set(key, { committed, earliest: earliest.get(key) ?? 0 })
    }
    this.#tasks = createTasks(topology, assignment.partitions, this.#context(), (topic, partition) =>
      readSnapshot(broker, topic, partition),
    )
    this.#byInput = new Map()
    const from = new Map<string, number>()
    for (const task of this.#tasks) {
      for (const [key, offset] of await task.restore(starts))
        from.set(key, Math.min(offset, from.get(key) ?? offset))
      for (const input of task.inputs) {
        const key = partitionKey(input.topic, input.partition)
        this.#byInput.set(key, [...(this.#byInput.get(key) ?? []), task])
      }
    }
    return from
  }

  async #batch(cursor: RecordCursor): Promise<void> {
    if (this.#stopped || this.#restarting) return
    const tasks = this.#byInput.get(partitionKey(cursor.topic, cursor.partition))
    if (tasks === undefined) return
    try {
      for (const task of tasks) await task.process(cursor)
      const urgent = this.#tasks.some((task) => task.urgent)
      const full = this.#producer.pendingBytes > (this.#o.maxPendingBytes ?? DEFAULT_PENDING_BYTES)
      if (urgent || full || this.#due()) await this.#commit()
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  #due(): boolean {
    return performance.now() - this.#lastCommitMs >= (this.#o.commitIntervalMs ?? DEFAULT_COMMIT_MS)
  }

  #queueTick(): void {
    if (this.#ticking) return
    this.#ticking = true
    void this.#exclusive(() => this.#tick()).finally(() => {
      this.#ticking = false
    })
  }

  async #tick(): Promise<void> {
    if (this.#stopped || this.#restarting || this.#assignment === undefined) return
    try {
      const nowMs = this.#o.clock.nowMs()
      for (const task of this.#tasks) task.tick(nowMs)
      if (this.#tasks.some((task) => task.urgent) || this.#due()) await this.#commit()
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  async #commit(): Promise<void> {
    const assignment = this.#assignment
    if (assignment === undefined) return
    const nowMs = this.#o.clock.nowMs()
    const offsets = this.#tasks.flatMap((task) => task.prepareCommit(nowMs))
    if (offsets.length > 0) await this.#producer.sendOffsets(this.#group, assignment, offsets)
    if (this.#producer.dirty) {
      await this.#producer.commit()
      this.counters.commits++
    }
    this.#lastCommitMs = performance.now()
  }

  /** The group moves on: finish under the old generation, or undo. */
  async #revoked(): Promise<void> {
    await this.#finish()
    this.#assignment = undefined
    this.#tasks = []
    this.#byInput = new Map()
  }

  async #finish(): Promise<void> {
    try {
      await this.#commit()
    } catch (error) {
      if (isFenced(error)) return this.#fatal(error)
      this.counters.aborts++
      await this.#producer.abort().catch((e: unknown) => this.#fatal(e as Error))
    }
  }

  /** A failure: a fenced worker ends; others undo the transaction and join again from what was committed. */
  #failed(error: Error): void {
    if (this.#stopped || this.#restarting) return
    if (isFenced(error)) return this.#fatal(error)
    if (!isError(error, 'GENERATION_STALE')) this.#o.onWarning?.(error)
    this.#restarting = true
    void this.#restart()
  }

  async #restart(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#assignment = undefined
        this.#tasks = []
        this.#byInput = new Map()
        await this.#reader?.close()
        await this.#gate
        this.counters.aborts++
        await this.#producer.abort()
        this.#restarting = false
        await this.#join()
        return
      } catch (error) {
        if (isFenced(error)) return this.#fatal(error)
        this.#restarting = true
        this.#o.onWarning?.(error as Error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  #fatal(error: Error): void {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    void this.#reader?.close().catch(() => undefined)
    void this.#producer.close().catch(() => undefined)
    this.#o.onFatal(error)
  }
}
