import type {
  Assignment,
  Broker,
  Clock,
  GroupReader,
  RecordCursor,
  TransactionalProducer,
} from '../ports/index.ts'
import { createPause, isError, partitionKey, systemTimers } from '../ports/index.ts'
import { offsetsOf, partitionCounts } from './broker-questions.ts'
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
  /** The tasks it holds now, and the event time up to which what each has done stands in Kafka. */
  tasks(): { readonly id: string; readonly watermarkMs: number }[]
  /** Bytes of window state held. */
  bytes(): number
}

/** Makes an inert worker. Exactly once: outputs and input offsets commit in one transaction under the generation of the assignment. */
export function createWorker(options: WorkerOptions): Worker {
  return new GroupWorker(options)
}

const DEFAULT_COMMIT_MS = 100
/** How long a commit waits for the rest of an answer. */
const GATHER_MS = 4
const DEFAULT_PENDING_BYTES = 16 << 20
const RETRY_MS = 500
/** Ticks further apart than this were not on time. */
const BLIND_AFTER_MS = 1000

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
  #standing: { readonly id: string; readonly watermarkMs: number }[] = []
  #byInput = new Map<string, Task[]>()
  #partitions = new Map<string, number>()
  #gate: Promise<unknown> = Promise.resolve()
  #lastCommitMs = 0
  #timer: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined
  #stopped = false
  /** What is held may not be what stands in Kafka: nothing is processed or committed until it has joined anew. */
  #broken = false
  #ticking = false
  #tickedMs = 0
  /** When a broker last answered, and how old that may become (only sources fall silent). */
  #contactMs = 0
  readonly #contactEveryMs: number
  #recovering: Promise<void> | undefined
  #recoveredMs = Number.NEGATIVE_INFINITY
  #starting: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined
  readonly #pause = createPause(systemTimers)

  constructor(options: WorkerOptions) {
    this.#o = options
    this.#group = `${options.prefix ?? ''}${options.topology.name}`
    this.#contactEveryMs = Math.min(...Object.values(options.topology.sources).map((s) => s.idleMs)) / 4
    this.#producer = options.broker.transactionalProducer({
      transactionalId: `${this.#group}-${options.slot}`,
    })
  }

  tasks(): { readonly id: string; readonly watermarkMs: number }[] {
    return this.#standing
  }

  bytes(): number {
    return this.#tasks.reduce((total, task) => total + task.bytes, 0)
  }

  start(): Promise<void> {
    this.#starting = this.#start()
    return this.#starting
  }

  async #start(): Promise<void> {
    this.#partitions = await partitionCounts(this.#o.broker, this.#o.prefix ?? '')
    await this.#producer.init()
    if (this.#stopped) return
    await this.#join()
    if (this.#stopped) return
    const everyMs = this.#o.commitIntervalMs ?? DEFAULT_COMMIT_MS
    this.#timer = setInterval(() => this.#queueTick(), everyMs)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true
      // Committed before the group is left: afterwards the generation would be refused.
      if (!this.#broken) await this.#exclusive(() => this.#revoked())
    }
    await this.#close()
  }

  /** Ends everything; whatever is under way (a start, a recovery) ends first. */
  #close(): Promise<void> {
    this.#closing ??= (async () => {
      clearInterval(this.#timer)
      clearTimeout(this.#soon)
      this.#pause.end()
      await this.#reader?.close()
      const closed = this.#producer.close() // also ends an abort that waits for a broker that is gone
      await Promise.allSettled([this.#starting, this.#recovering])
      await this.#reader?.close() // a start or a recovery may just have made it
      await closed
    })()
    return this.#closing
  }

  #topicName = (topic: string): string => `${this.#o.prefix ?? ''}${topic}`

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
    const { encoder, readers, clock } = this.#o
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
      warn: (error) => this.#o.onWarning?.(error),
    }
  }

  async #assigned(assignment: Assignment): Promise<Map<string, number>> {
    this.counters.assignments++
    const { broker, topology } = this.#o
    const earliest = await offsetsOf(broker, assignment.partitions, 'earliest')
    const starts = new Map<string, TaskStart>()
    for (const committed of assignment.partitions) {
      const key = partitionKey(committed.topic, committed.partition)
      starts.set(key, { committed, earliest: earliest.get(key) ?? 0 })
    }
    const tasks = createTasks(topology, assignment.partitions, this.#context(), (topic, partition) =>
      readSnapshot(broker, topic, partition),
    )
    const byInput = new Map<string, Task[]>()
    const from = new Map<string, number>()
    for (const task of tasks) {
      for (const [key, offset] of await task.restore(starts))
        from.set(key, Math.min(offset, from.get(key) ?? offset))
      for (const input of task.inputs) {
        const key = partitionKey(input.topic, input.partition)
        byInput.set(key, [...(byInput.get(key) ?? []), task])
      }
    }
    // Only whole: a tick that comes after a failure above must not find half of it.
    this.#assignment = assignment
    this.#tasks = tasks
    this.#standing = tasks.map(({ id, watermarkMs }) => ({ id, watermarkMs }))
    this.#byInput = byInput
    return from
  }

  async #batch(cursor: RecordCursor): Promise<void> {
    if (this.#stopped || this.#broken) return
    const tasks = this.#byInput.get(partitionKey(cursor.topic, cursor.partition))
    if (tasks === undefined) return
    try {
      for (const task of tasks) await task.process(cursor)
      const urgent = this.#tasks.some((task) => task.urgent)
      const full = this.#producer.pendingBytes > (this.#o.maxPendingBytes ?? DEFAULT_PENDING_BYTES)
      if (full || (this.#due() && !urgent)) await this.#commit()
      else if (urgent) this.#commitSoon()
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /** The batches of one answer come one after another, and what they close belongs together: one commit, not one each. */
  #commitSoon(): void {
    this.#soon ??= setTimeout(() => {
      this.#soon = undefined
      this.#queueTick()
    }, GATHER_MS)
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
    const nowMs = this.#o.clock.nowMs()
    const sinceMs = nowMs - this.#tickedMs
    this.#tickedMs = nowMs
    if (this.#stopped || this.#broken || this.#assignment === undefined) return
    try {
      if (nowMs - this.#contactMs >= this.#contactEveryMs) await this.#touch(this.#assignment)
      if (this.#o.clock.nowMs() - nowMs > BLIND_AFTER_MS) return
      // A process that stood still, or waited for a broker that was gone, cannot say that nothing came.
      const blindMs = sinceMs > BLIND_AFTER_MS ? sinceMs : 0
      for (const task of this.#tasks) task.tick(nowMs, blindMs)
      if (this.#tasks.some((task) => task.urgent) || this.#due()) await this.#commit()
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /** Silence of a source means nothing while the broker does not answer: then this waits for it, and fails in the end. */
  async #touch({ partitions }: Assignment): Promise<void> {
    await offsetsOf(this.#o.broker, partitions.slice(0, 1), 'latest')
    this.#contactMs = this.#o.clock.nowMs()
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
      this.#contactMs = nowMs
    }
    this.#lastCommitMs = performance.now()
    this.#standing = this.#tasks.map(({ id, watermarkMs }) => ({ id, watermarkMs }))
  }

  /** The group moves on: finish under the old generation, or undo. */
  async #revoked(): Promise<void> {
    await this.#finish()
    this.#drop()
  }

  async #finish(): Promise<void> {
    try {
      await this.#commit()
    } catch (error) {
      if (isFenced(error)) return this.#fatal(error)
      this.counters.aborts++
      await this.#producer.abort().catch((e: unknown) => this.#failed(e as Error))
    }
  }

  /** A failure: a fenced worker ends; others undo the transaction and join again from what was committed. */
  #failed(error: Error): void {
    if (this.#stopped) return
    if (isFenced(error)) return this.#fatal(error)
    if (!this.#broken && !isError(error, 'GENERATION_STALE')) this.#o.onWarning?.(error)
    this.#broken = true
    // One at a time: a failure while it joins makes the loop go round again.
    this.#recovering ??= this.#recover()
  }

  async #recover(): Promise<void> {
    while (this.#broken && !this.#stopped) {
      try {
        // What fails again at once (a bad topology, a poisoned state) must not turn the group over and over.
        if (performance.now() - this.#recoveredMs < RETRY_MS) await this.#pause.wait(RETRY_MS)
        await this.#rejoin()
        this.#recoveredMs = performance.now()
      } catch (error) {
        this.#broken = true
        if (isFenced(error)) this.#fatal(error)
        else if (!this.#stopped) this.#o.onWarning?.(error as Error)
        this.#recoveredMs = performance.now()
      }
    }
    // In the same turn as the last look at `broken`: a failure that follows begins a recovery of its own.
    this.#recovering = undefined
  }

  async #rejoin(): Promise<void> {
    this.#drop()
    await this.#reader?.close()
    await this.#gate
    this.counters.aborts++
    await this.#producer.abort()
    if (this.#stopped) return
    this.#broken = false
    await this.#join()
  }

  #drop(): void {
    this.#assignment = undefined
    this.#tasks = []
    this.#standing = []
    this.#byInput = new Map()
  }

  #fatal(error: Error): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#drop()
    this.#close().catch(() => undefined)
    this.#o.onFatal(error)
  }
}
