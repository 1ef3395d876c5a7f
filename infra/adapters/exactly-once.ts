import {
  type Assignment,
  type Broker,
  type GroupReader,
  isError,
  type OffsetToCommit,
  partitionKey,
  type RecordCursor,
  type TransactionalProducer,
} from '#core/ports'

/** Settings of a copier; times in ms. */
export interface CopierOptions {
  readonly broker: Broker
  readonly inputTopic: string
  readonly groupId: string
  /** Stable name of this process among those of the group: a restart fences what the former one left open. */
  readonly slot: string
  /** Longest time between commits while there is something to commit. */
  readonly commitIntervalMs: number
  /** Commit early when this much output waits. */
  readonly maxPendingBytes: number
  /** Turns the cursor's record into output. Must not keep the cursor. A throw undoes the transaction. */
  copy(cursor: RecordCursor, output: Pick<TransactionalProducer, 'add'>): void
  /** Something operators must hear of, but the copier goes on. */
  onWarning(error: Error): void
}

/** A running copier. */
export interface Copier {
  /** Transactions committed and undone. */
  readonly counters: { readonly commits: number; readonly aborts: number }
  /** Rejects if it cannot go on (fenced by a newer process of the same slot); resolves after `stop`. */
  readonly done: Promise<void>
  /** Commits what is done, leaves the group and closes. Safe to call twice. */
  stop(): Promise<void>
}

/**
 * Copies a topic record by record, each exactly once: output and input offsets commit in one transaction
 * under the generation of the assignment. Resolves once it has joined the group.
 */
export async function startCopier(options: CopierOptions): Promise<Copier> {
  const copier = new GroupCopier(options)
  await copier.start()
  return copier
}

const RETRY_MS = 500

class GroupCopier implements Copier {
  readonly counters = { commits: 0, aborts: 0 }
  readonly done: Promise<void>
  readonly #o: CopierOptions
  readonly #producer: TransactionalProducer
  readonly #positions = new Map<string, OffsetToCommit>()
  readonly #outcome = Promise.withResolvers<void>()
  #reader: GroupReader | null = null
  #assignment: Assignment | null = null
  #gate: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #lastCommitMs = performance.now()
  #stopped = false
  #restarting = false

  constructor(options: CopierOptions) {
    this.#o = options
    this.done = this.#outcome.promise
    // A caller that does not look at `done` hears of the end through `onWarning`.
    this.done.catch(() => undefined)
    this.#producer = options.broker.transactionalProducer({
      transactionalId: `${options.groupId}-${options.slot}`,
    })
  }

  async start(): Promise<void> {
    await this.#producer.init()
    await this.#join()
    const tick = () => void this.#exclusive(() => this.#tick()).catch((e: unknown) => this.#failed(e))
    this.#timer = setInterval(tick, this.#o.commitIntervalMs)
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
    this.#outcome.resolve()
  }

  async #join(): Promise<void> {
    const { broker, groupId, inputTopic, slot } = this.#o
    this.#reader = broker.groupReader(
      { groupId, topics: [inputTopic], groupInstanceId: slot },
      {
        onAssigned: (given) => this.#exclusive(() => this.#assigned(given)),
        onRevoked: () => this.#exclusive(() => this.#revoked()),
        onBatch: (cursor) =>
          this.#exclusive(() => this.#batch(cursor)).catch((e: unknown) => this.#failed(e)),
        onError: (error) => this.#failed(error),
      },
    )
    await this.#reader.start()
  }

  /** What touches the transaction runs one after the other. */
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#gate.then(work)
    this.#gate = result.catch(() => undefined)
    return result
  }

  async #assigned(given: Assignment): Promise<Map<string, number>> {
    const admin = this.#o.broker.admin()
    try {
      const earliest = await admin.offsets(given.partitions, 'earliest')
      this.#assignment = given
      this.#positions.clear()
      return new Map(
        given.partitions.map(({ topic, partition, offset }) => {
          const key = partitionKey(topic, partition)
          return [key, Math.max(offset, earliest.get(key) ?? 0)]
        }),
      )
    } finally {
      await admin.close()
    }
  }

  async #batch(cursor: RecordCursor): Promise<void> {
    // Without an assignment the transaction has been undone: these records will come again.
    if (this.#stopped || this.#restarting || this.#assignment === null) return
    while (cursor.next()) this.#o.copy(cursor, this.#producer)
    const { topic, partition, nextOffset } = cursor
    this.#positions.set(partitionKey(topic, partition), {
      topic,
      partition,
      offset: nextOffset,
      metadata: '',
    })
    if (this.#producer.pendingBytes > this.#o.maxPendingBytes || this.#isDue()) await this.#commit()
  }

  #isDue(): boolean {
    return performance.now() - this.#lastCommitMs >= this.#o.commitIntervalMs
  }

  async #tick(): Promise<void> {
    if (!this.#stopped && !this.#restarting && this.#isDue()) await this.#commit()
  }

  async #commit(): Promise<void> {
    if (this.#assignment === null || this.#positions.size === 0) return
    await this.#producer.sendOffsets(this.#o.groupId, this.#assignment, [...this.#positions.values()])
    await this.#producer.commit()
    this.#positions.clear()
    this.counters.commits++
    this.#lastCommitMs = performance.now()
  }

  /** The group moves on: finish under the old generation, or undo. */
  async #revoked(): Promise<void> {
    try {
      await this.#commit()
    } catch (error) {
      if (isError(error, 'PRODUCER_FENCED')) return this.#end(error)
      this.counters.aborts++
      await this.#producer.abort().catch((e: unknown) => this.#failed(e))
    } finally {
      this.#forget()
    }
  }

  #forget(): void {
    this.#assignment = null
    this.#positions.clear()
  }

  /** Fenced: the newer process goes on. Anything else: undo, and join again from what was committed. */
  #failed(error: unknown): void {
    if (this.#stopped || this.#restarting) return
    if (isError(error, 'PRODUCER_FENCED')) return this.#end(error)
    if (!isError(error, 'GENERATION_STALE')) this.#o.onWarning(error as Error)
    this.#restarting = true
    void this.#restart()
  }

  async #restart(): Promise<void> {
    while (!this.#stopped) {
      try {
        this.#forget()
        await this.#reader?.close()
        await this.#gate
        this.counters.aborts++
        await this.#producer.abort()
        this.#restarting = false
        return await this.#join()
      } catch (error) {
        if (isError(error, 'PRODUCER_FENCED')) return this.#end(error)
        this.#restarting = true
        this.#o.onWarning(error as Error)
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  #end(fenced: Error): void {
    if (this.#stopped) return
    this.#stopped = true
    clearInterval(this.#timer)
    void this.#reader?.close().catch(() => undefined)
    void this.#producer.close().catch(() => undefined)
    this.#o.onWarning(fenced)
    this.#outcome.reject(fenced)
  }
}
