import type { GroupReader, TopicPartition } from '../ports/index.ts'
import { ForestallError, partitionKey } from '../ports/index.ts'
import type { Counters } from './counters.ts'
import type { Task } from './task.ts'

/** What bounds a worker. */
export interface BackPressureOptions {
  readonly name: string
  /** State of all tasks, bytes. */
  readonly maxStateBytes: number
  /** Topics (on the broker) whose records make state, and whose event time closes it. */
  readonly sources: ReadonlySet<string>
  readonly counters: Counters
  warn(error: Error): void
}

/** From this share of the bound on only the source that is furthest behind is read: the rest is room for it to close windows. */
const AHEAD = 0.7
/** State falls below this share of that before all are read again. */
const RESUME = 0.9

const keyOf = (p: TopicPartition): string => partitionKey(p.topic, p.partition)

/**
 * Stops reading where memory would grow. Output that waits for commits stops everything. State stops the sources
 * that are ahead in event time, before the bound is reached: those behind are what windows wait for, and need room to
 * get there. At the bound all sources stop, and STATE_TOO_LARGE says so: windows that nothing closes must not take the
 * process with them.
 */
export class BackPressure {
  readonly #o: BackPressureOptions
  #paused = new Map<string, TopicPartition>()
  #over = false
  #warned = false

  constructor(options: BackPressureOptions) {
    this.#o = options
  }

  /** True if this task is not given what it would read: its silence means nothing. */
  holds(task: Task): boolean {
    return task.inputs.some((input) => this.#paused.has(keyOf(input)))
  }

  /** Pauses and resumes as memory stands now. `stuck`: output is at its bound, and nothing can be committed. */
  update(tasks: readonly Task[], stateBytes: number, stuck: boolean, reader: GroupReader | undefined): void {
    const paused = stuck ? tasks.flatMap((task) => task.inputs) : this.#ahead(tasks, stateBytes)
    const next = new Map(paused.map((p) => [keyOf(p), p]))
    const fresh = [...next.values()].filter((p) => !this.#paused.has(keyOf(p)))
    const freed = [...this.#paused.values()].filter((p) => !next.has(keyOf(p)))
    this.#paused = next
    this.#o.counters.pauses += fresh.length
    this.#o.counters.pausedPartitions = next.size
    if (fresh.length > 0) reader?.pause(fresh)
    if (freed.length > 0) reader?.resume(freed)
  }

  /** These are not read here any more. */
  forget(partitions: readonly TopicPartition[]): void {
    for (const p of partitions) this.#paused.delete(keyOf(p))
    this.#o.counters.pausedPartitions = this.#paused.size
  }

  /** A new reader has nothing paused. */
  clear(): void {
    this.#paused.clear()
    this.#over = false
    this.#o.counters.pausedPartitions = 0
  }

  #ahead(tasks: readonly Task[], stateBytes: number): TopicPartition[] {
    const { maxStateBytes } = this.#o
    this.#over = stateBytes > maxStateBytes * AHEAD * (this.#over ? RESUME : 1)
    if (!this.#over) {
      this.#warned = false
      return []
    }
    const sources = tasks.filter((task) => task.inputs.some((input) => this.#o.sources.has(input.topic)))
    if (stateBytes > maxStateBytes) {
      this.#warn(stateBytes)
      return sources.flatMap((task) => task.inputs)
    }
    const slowestMs = Math.min(...sources.map((task) => task.watermarkMs))
    return sources.filter((task) => task.watermarkMs > slowestMs).flatMap((task) => task.inputs)
  }

  #warn(stateBytes: number): void {
    if (this.#warned) return
    this.#warned = true
    const mib = (bytes: number) => (bytes / 2 ** 20).toFixed(1)
    this.#o.warn(
      new ForestallError(
        'STATE_TOO_LARGE',
        `${this.#o.name}: open windows hold ${mib(stateBytes)} MiB of at most ${mib(this.#o.maxStateBytes)}; its sources are paused until some close`,
      ),
    )
  }
}
