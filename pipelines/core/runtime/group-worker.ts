import type {
  Assignment,
  GroupReader,
  RecordCursor,
  TopicPartition,
  TransactionalProducer,
} from '../ports/index.ts'
import { ForestallError } from '../ports/index.ts'
import { AssignedTasks } from './assigned-tasks.ts'
import { BackPressure } from './back-pressure.ts'
import { offsetsOf, partitionCounts } from './broker-questions.ts'
import { Claims } from './claims.ts'
import { CommitCycle } from './commit-cycle.ts'
import { createCounters } from './counters.ts'
import { isFenced, Recovery } from './recovery.ts'
import { readSnapshot } from './snapshots.ts'
import type { TaskContext } from './task.ts'
import { taskContext } from './task-context.ts'
import { createTasks, inputTopics, restoreTasks } from './tasks.ts'
import { Ticks } from './ticks.ts'
import { Transit } from './transit.ts'
import type { Worker, WorkerOptions } from './worker.ts'

const DEFAULT_COMMIT_MS = 100
/** What a worker that is gone for good has written holds up its readers for so long, and until the broker looks (10 s). */
const DEFAULT_TRANSACTION_MS = 20_000
const DEFAULT_PENDING_BYTES = 16 << 20
const DEFAULT_STATE_BYTES = 2 ** 30
/** Memory is summed up after so many records, and at every tick: all windows after each small batch would be half of the time. */
const CHECKED_EVERY = 10_000
/** Small bounds are looked at more often: a record makes some 200 bytes of state at most. */
const LEAST_CHECKED = 500
/** A block of partial aggregates counts as so many records. */
const ENTRY_BYTES = 50
const BYTES_PER_CHECK = 20_000

/**
 * A worker as a member of its group. Everything that touches tasks or the transaction runs one after the other
 * (`#exclusive`); commits are under way while tasks work on (`CommitCycle`).
 */
export class GroupWorker implements Worker {
  readonly counters = createCounters()
  readonly #o: WorkerOptions
  readonly #producer: TransactionalProducer
  readonly #group: string
  readonly #context: TaskContext
  readonly #tasks = new AssignedTasks()
  readonly #commits: CommitCycle
  readonly #recovery: Recovery
  readonly #backPressure: BackPressure
  #reader: GroupReader | undefined
  #assignment: Assignment | undefined
  readonly #claims = new Claims()
  readonly #ticks: Ticks
  /** Since when a rebalance has been under way: nothing can be committed. */
  #heldSinceMs: number | undefined
  readonly #transit = new Transit()
  readonly #checkEvery: number
  /** Records since memory was last summed up. */
  #unchecked = 0
  #partitions = new Map<string, number>()
  #gate: Promise<unknown> = Promise.resolve()
  #stopped = false
  #starting: Promise<void> = Promise.resolve()
  #closing: Promise<void> | undefined

  constructor(options: WorkerOptions) {
    this.#o = options
    const { topology, broker, slot, clock } = options
    const sources = Object.values(topology.sources)
    this.#group = `${options.prefix ?? ''}${topology.name}`
    this.#producer = broker.transactionalProducer({
      transactionalId: `${this.#group}-${slot}`,
      transactionTimeoutMs: DEFAULT_TRANSACTION_MS,
    })
    const topics = {
      topicName: this.#topicName,
      partitionsOf: (topic: string) => this.#partitions.get(this.#topicName(topic)) ?? 1,
      merged: (bytes: number) => {
        this.#transit.merged(bytes)
        this.#unchecked += bytes / ENTRY_BYTES
      },
    }
    this.#context = taskContext(options, this.#producer, this.counters, topics, this.#transit)
    const maxStateBytes = options.maxStateBytes ?? DEFAULT_STATE_BYTES
    this.#checkEvery = Math.max(LEAST_CHECKED, Math.min(CHECKED_EVERY, maxStateBytes / BYTES_PER_CHECK))
    this.#commits = new CommitCycle({
      producer: this.#producer,
      groupId: this.#group,
      clock,
      counters: this.counters,
      intervalMs: options.commitIntervalMs ?? DEFAULT_COMMIT_MS,
      onCommitted: (beganMs) => {
        this.#ticks.heard(beganMs)
        if (this.#tasks.urgent) this.#ticks.soon()
      },
      onFailed: (error) => this.#failed(error),
    })
    this.#ticks = new Ticks({
      clock,
      everyMs: options.commitIntervalMs ?? DEFAULT_COMMIT_MS,
      contactEveryMs: Math.min(...sources.map((s) => s.idleMs)) / 4,
      exclusive: (work) => this.#exclusive(work),
      ready: () => !this.#stopped && !this.#recovery.broken && this.#assignment !== undefined,
      touch: () => this.#touch(),
      onTick: (nowMs, blindMs) => this.#tick(nowMs, blindMs),
      onFailed: (error) => this.#failed(error),
    })
    this.#recovery = new Recovery({
      rejoin: () => this.#rejoin(),
      onFatal: (error) => this.#fatal(error),
      onWarning: (error) => options.onWarning?.(error),
    })
    this.#backPressure = new BackPressure({
      name: this.#group,
      maxStateBytes,
      sources: new Set(sources.map((s) => this.#topicName(s.topic))),
      counters: this.counters,
      warn: (error) => options.onWarning?.(error),
    })
  }

  tasks(): { readonly id: string; readonly watermarkMs: number }[] {
    return [...this.#commits.standing]
  }

  bytes(): number {
    return this.#tasks.bytes
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
    this.#ticks.start()
  }

  async stop(): Promise<void> {
    if (!this.#stopped) {
      this.#stopped = true
      // Committed before the group is left: afterwards the generation would be refused.
      if (!this.#recovery.broken) await this.#exclusive(() => this.#revoked())
    }
    await this.#close()
  }

  /** Ends everything; whatever is under way (a start, a recovery) ends first. */
  #close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#ticks.end()
      this.#recovery.end()
      await this.#reader?.close()
      const closed = this.#producer.close() // also ends an abort that waits for a broker that is gone
      await Promise.allSettled([this.#starting, this.#recovery.done()])
      await this.#reader?.close() // a start or a recovery may just have made it
      await closed
    })()
    return this.#closing
  }

  #topicName = (topic: string): string => `${this.#o.prefix ?? ''}${topic}`

  get #single(): boolean {
    return Object.values(this.#o.topology.rounds).some((round) => round.scope === 'all')
  }

  async #join(): Promise<void> {
    const { broker, topology, slot, sessionTimeoutMs, maxFetchBytes } = this.#o
    this.#reader = broker.groupReader(
      {
        groupId: this.#group,
        topics: inputTopics(topology).map(this.#topicName),
        groupInstanceId: slot,
        cooperative: true,
        reuseBuffers: true,
        assignment: this.#single ? 'single' : 'aligned',
        ...(sessionTimeoutMs === undefined ? {} : { sessionTimeoutMs }),
        ...(maxFetchBytes === undefined ? {} : { maxBytes: maxFetchBytes }),
      },
      {
        onAssigned: (assignment) => this.#assigned(assignment),
        onRevoked: () => this.#exclusive(() => this.#revoked()),
        onRebalance: () => this.#exclusive(() => this.#hold()),
        onKept: (kept, lost) => this.#exclusive(() => this.#kept(kept, lost)),
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

  /** Restores the tasks of new partitions, while those that are here already work on. */
  async #assigned(assignment: Assignment): Promise<Map<string, number>> {
    this.counters.assignments++
    const { broker, topology } = this.#o
    const { partitions } = assignment
    if (this.#claims.splits(partitions, this.#single)) {
      this.#failed(new ForestallError('GENERATION_STALE', 'what belongs to one task was assigned in parts'))
      return new Map()
    }
    this.#claims.take(assignment)
    if (assignment.generationId >= (this.#assignment?.generationId ?? -1)) this.#assignment = assignment
    const tasks = createTasks(topology, partitions, this.#context, (topic, partition) =>
      readSnapshot(broker, topic, partition),
    )
    const from = await restoreTasks(tasks, partitions, await offsetsOf(broker, partitions, 'earliest'))
    await this.#exclusive(async () => {
      const mine = (p: TopicPartition) => this.#claims.holds(assignment, p)
      const whole = tasks.filter((task) => task.inputs.every(mine))
      this.#tasks.add(whole)
      this.#commits.found(partitions.filter(mine), whole)
    })
    return from
  }

  /** A rebalance begins: what is done is committed under the generation that ends, and then nothing until it is over. */
  async #hold(): Promise<void> {
    if (this.#recovery.broken) return
    const sinceMs = performance.now()
    try {
      await this.#begin()
      await this.#commits.settle()
      this.#heldSinceMs = sinceMs
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /** The rebalance is over: tasks that stay work on with what they hold, if nobody else can have worked for them. */
  async #kept(kept: Assignment, lost: readonly TopicPartition[]): Promise<void> {
    if (this.#stopped || this.#recovery.broken) return
    this.#release()
    const stolen = kept.partitions.find((p) => !this.#commits.agrees(p))
    if (stolen !== undefined) {
      const place = `${stolen.topic}-${stolen.partition}`
      return this.#failed(new ForestallError('GENERATION_STALE', `${place} was committed by someone else`))
    }
    this.#assignment = kept
    try {
      if (lost.length > 0) {
        await this.#begin()
        await this.#commits.settle()
        this.#lose(lost)
      }
      if (this.#tasks.urgent || this.#commits.due) this.#ticks.soon()
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  #lose(lost: readonly TopicPartition[]): void {
    this.#claims.lose(lost)
    this.#tasks.drop(lost)
    this.#backPressure.forget(lost)
    this.#commits.forget(lost, this.#tasks.list)
  }

  #release(): void {
    if (this.#heldSinceMs === undefined) return
    const heldMs = performance.now() - this.#heldSinceMs
    this.#heldSinceMs = undefined
    this.counters.rebalances++
    this.counters.rebalanceMs += heldMs
    this.counters.longestRebalanceMs = Math.max(this.counters.longestRebalanceMs, heldMs)
  }

  async #batch(cursor: RecordCursor): Promise<void> {
    if (this.#stopped || this.#recovery.broken) return
    const tasks = this.#tasks.of(cursor.topic, cursor.partition)
    if (tasks.length === 0) return
    const startMs = performance.now()
    try {
      for (const task of tasks) await task.process(cursor)
      this.counters.longestBatchMs = Math.max(this.counters.longestBatchMs, performance.now() - startMs)
      if (this.#full() && this.#heldSinceMs === undefined) await this.#begin()
      else if (this.#tasks.urgent) this.#ticks.soon()
      else if (this.#commits.due && !this.#commits.busy) await this.#begin()
      this.#unchecked += cursor.recordCount
      if (this.#heldSinceMs !== undefined || this.#unchecked >= this.#checkEvery) this.#bound()
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  #full(): boolean {
    return this.#producer.pendingBytes > (this.#o.maxPendingBytes ?? DEFAULT_PENDING_BYTES)
  }

  #bound(): void {
    this.#unchecked = 0
    const stuck = this.#heldSinceMs !== undefined && this.#full()
    const stateBytes = this.#tasks.bytes + this.#transit.bytes
    this.#backPressure.update(this.#tasks.list, stateBytes, stuck, this.#reader)
  }

  async #tick(nowMs: number, blindMs: number): Promise<void> {
    for (const task of this.#tasks.list)
      task.tick(nowMs, this.#backPressure.holds(task) ? Number.POSITIVE_INFINITY : blindMs)
    if (!this.#commits.busy && (this.#tasks.urgent || this.#commits.due)) await this.#begin()
    this.#bound()
  }

  async #touch(): Promise<void> {
    await offsetsOf(this.#o.broker, this.#tasks.list[0]?.inputs.slice(0, 1) ?? [], 'latest')
  }

  /** Begins a commit, once the one before has ended; none while a rebalance is under way. */
  async #begin(): Promise<void> {
    if (this.#assignment === undefined || this.#heldSinceMs !== undefined) return
    await this.#commits.begin(this.#tasks.list, this.#assignment)
  }

  /** Everything is taken away: finish under the old generation, or undo. */
  async #revoked(): Promise<void> {
    this.#heldSinceMs = undefined // what was held back is now or never
    try {
      await this.#begin()
      await this.#commits.settle()
    } catch (error) {
      if (isFenced(error)) return this.#fatal(error)
      this.counters.aborts++
      await this.#producer.abort().catch((e: unknown) => this.#failed(e as Error))
    }
    this.#drop()
  }

  /** A failure: a fenced worker ends; others undo the transaction and join again from what was committed. */
  #failed(error: Error): void {
    if (!this.#stopped) this.#recovery.failed(error)
  }

  async #rejoin(): Promise<void> {
    this.#drop()
    await this.#reader?.close()
    await this.#gate
    this.counters.aborts++
    await this.#producer.abort()
    await this.#commits.ended()
    this.#commits.clear()
    if (this.#stopped) return
    this.#recovery.mended()
    await this.#join()
  }

  #drop(): void {
    this.#assignment = undefined
    this.#claims.clear()
    this.#tasks.clear()
    this.#transit.clear()
    this.#commits.clear()
    this.#backPressure.clear()
    this.#heldSinceMs = undefined
  }

  #fatal(error: Error): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#drop()
    this.#recovery.end()
    this.#close().catch(() => undefined)
    this.#o.onFatal(error)
  }
}
