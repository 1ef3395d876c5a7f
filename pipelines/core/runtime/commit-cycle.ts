import type {
  Assignment,
  Clock,
  CommittedOffset,
  OffsetToCommit,
  TransactionalProducer,
} from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import type { Counters } from './counters.ts'
import type { Task } from './task.ts'

/** A task, and the event time up to which what it has done stands in Kafka. */
export interface Standing {
  readonly id: string
  readonly watermarkMs: number
}

/** What a commit cycle needs. */
export interface CommitCycleOptions {
  readonly producer: TransactionalProducer
  readonly groupId: string
  readonly clock: Clock
  readonly counters: Counters
  /** Longest time between commits while there is something to commit, ms. */
  readonly intervalMs: number
  /** A commit stands; the wall clock when it began. */
  onCommitted(beganMs: number): void
  /** A commit has failed. Nothing may be processed until the transaction has been undone. */
  onFailed(error: Error): void
}

/**
 * Commits one transaction after the other. What a transaction holds is fixed when its commit begins: offsets, notes
 * and all output so far. Tasks work on while it is under way; their output belongs to the next transaction, which the
 * producer sends only when this one has ended. If it fails, both are undone.
 */
export class CommitCycle {
  readonly #o: CommitCycleOptions
  /** By `topic:partition`: what this worker has committed, or found committed, last. */
  readonly #committed = new Map<string, { offset: number; metadata: string }>()
  #inFlight: Promise<void> | null = null
  #beganMs = Number.NEGATIVE_INFINITY
  #standing: readonly Standing[] = []

  constructor(options: CommitCycleOptions) {
    this.#o = options
  }

  /** True while a commit is under way. */
  get busy(): boolean {
    return this.#inFlight !== null
  }

  get standing(): readonly Standing[] {
    return this.#standing
  }

  /** True if the last commit began longer ago than the interval. */
  get due(): boolean {
    return performance.now() - this.#beganMs >= this.#o.intervalMs
  }

  /** Begins a commit once the one before has ended; throws what that one failed with. */
  async begin(tasks: readonly Task[], assignment: Assignment): Promise<void> {
    await this.settle()
    const { producer, groupId, clock } = this.#o
    const nowMs = clock.nowMs()
    const offsets = tasks.flatMap((task) => task.prepareCommit(nowMs))
    this.#beganMs = performance.now()
    const standing = tasks.map(({ id, watermarkMs }) => ({ id, watermarkMs }))
    if (offsets.length === 0 && !producer.dirty) {
      this.#standing = standing
      return
    }
    // Both in this turn: what is added from now on belongs to the next transaction. If the offsets are refused, the
    // producer refuses the commit, too.
    const sent = offsets.length > 0 ? producer.sendOffsets(groupId, assignment, offsets) : undefined
    const ended = producer.commit()
    const inFlight = Promise.all([sent, ended]).then(() => this.#stands(nowMs, offsets, standing))
    this.#inFlight = inFlight
    inFlight
      .catch((error: unknown) => this.#o.onFailed(error as Error))
      .finally(() => {
        if (this.#inFlight === inFlight) this.#inFlight = null
      })
  }

  #stands(beganMs: number, offsets: readonly OffsetToCommit[], standing: readonly Standing[]): void {
    this.#o.counters.commits++
    this.#o.counters.commitMs += performance.now() - this.#beganMs
    for (const { topic, partition, offset, metadata } of offsets)
      this.#committed.set(partitionKey(topic, partition), { offset, metadata })
    this.#standing = standing
    this.#inFlight = null
    this.#o.onCommitted(beganMs)
  }

  /** Waits for the commit under way; throws what it fails with. */
  async settle(): Promise<void> {
    await this.#inFlight
  }

  /** These offsets were found committed when tasks were restored from them. */
  found(partitions: readonly CommittedOffset[], tasks: readonly Task[]): void {
    for (const { topic, partition, offset, metadata } of partitions)
      this.#committed.set(partitionKey(topic, partition), { offset, metadata })
    this.#standing = [...this.#standing, ...tasks.map(({ id, watermarkMs }) => ({ id, watermarkMs }))]
  }

  /** True if what is committed for a partition is what this worker committed last: nobody has worked on it meanwhile. */
  agrees({ topic, partition, offset, metadata }: CommittedOffset): boolean {
    const last = this.#committed.get(partitionKey(topic, partition))
    return last === undefined || (last.offset === offset && last.metadata === metadata)
  }

  /** These partitions are someone else's now. */
  forget(partitions: readonly { topic: string; partition: number }[], tasks: readonly Task[]): void {
    for (const { topic, partition } of partitions) this.#committed.delete(partitionKey(topic, partition))
    const ids = new Set(tasks.map((task) => task.id))
    this.#standing = this.#standing.filter((s) => ids.has(s.id))
  }

  /** Forgets everything: what is held is undone. */
  clear(): void {
    this.#committed.clear()
    this.#standing = []
  }

  /** Resolves when no commit is under way, however it ended. */
  async ended(): Promise<void> {
    await this.#inFlight?.catch(() => undefined)
  }
}
