import type { RecordCodec } from '#core/codec'
import { type Broker, type Clock, createPause, isError, systemClock, systemTimers } from '#core/ports'
import { openQueryLogOutput, type QueryLogCounters, type QueryLogOutput } from './output.ts'
import { DEFAULT_RULES, type QueryRule } from './rules.ts'
import type { LogCursor, QueryLogTable } from './table.ts'

/** Settings of a poller; times in ms. */
export interface QueryLogPollerOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly table: QueryLogTable
  /** Stable name of the server: keeps its place in the log, and is the `origin` of its records. */
  readonly source: string
  /** Default: tags in `log_comment`. */
  readonly rules?: readonly QueryRule[]
  /** Prefix of the topics. Default ''. */
  readonly prefix?: string
  /** Pause once the log has been read to its end. Default 5,000. */
  readonly everyMs?: number
  /** Age at which rows are complete: the server's flush interval and some. Default 15,000. */
  readonly settleMs?: number
  /** Rows of one transaction. Default 5,000. */
  readonly pageRows?: number
  readonly clock?: Clock
  /** Something operators must hear of; the poller tries again. */
  onWarning?(error: Error): void
}

/** A running poller. */
export interface QueryLogPoller {
  /** Since it began. */
  counters(): QueryLogCounters
  /** Rejects if it cannot go on (another poller of the same source took over); resolves after `stop`. */
  readonly done: Promise<void>
  /** Finishes the page under way. Safe to call twice. */
  stop(): Promise<void>
}

const EVERY_MS = 5000
const SETTLE_MS = 15_000
const PAGE_ROWS = 5000

/**
 * Copies a query log to `logs.queries`, each query once: the place in the log commits with the records, and a newer
 * poller of the same source fences the older one. Throws NOT_FOUND if the topics do not exist.
 */
export async function startQueryLogPoller(options: QueryLogPollerOptions): Promise<QueryLogPoller> {
  const { rules = DEFAULT_RULES, prefix = '' } = options
  const output = await openQueryLogOutput({ ...options, rules, prefix })
  const poller = new Poller(options, output)
  poller.begin()
  return poller
}

class Poller implements QueryLogPoller {
  readonly done: Promise<void>
  readonly #o: QueryLogPollerOptions
  readonly #output: QueryLogOutput
  readonly #clock: Clock
  readonly #pause = createPause(systemTimers)
  readonly #end = Promise.withResolvers<void>()
  /** Null: not known; what stands in Kafka counts. */
  #cursor: LogCursor | null = null
  #stopped = false

  constructor(options: QueryLogPollerOptions, output: QueryLogOutput) {
    this.#o = options
    this.#output = output
    this.#clock = options.clock ?? systemClock
    this.done = this.#end.promise
    // Who does not look at `done` hears of the end through `onWarning`.
    this.done.catch(() => undefined)
  }

  begin(): void {
    void this.#run().then(this.#end.resolve, this.#end.reject)
  }

  counters(): QueryLogCounters {
    return this.#output.counters()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#pause.end()
    await this.done.catch(() => undefined)
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped) {
        const more = await this.#page()
        if (!more && !this.#stopped) await this.#pause.wait(this.#o.everyMs ?? EVERY_MS)
      }
    } finally {
      await this.#output.close()
    }
  }

  /** One page; true if there may be more at once. */
  async #page(): Promise<boolean> {
    const { table, pageRows = PAGE_ROWS, settleMs = SETTLE_MS } = this.#o
    try {
      this.#cursor ??= await this.#output.cursor()
      const page = await table.read(this.#cursor, pageRows, settleMs)
      if (page.cursor === null) return false
      await this.#output.write(page.rows, page.cursor, this.#clock.nowMs())
      this.#cursor = page.cursor
      return page.rows.length === pageRows
    } catch (error) {
      await this.#failed(error as Error)
      return false
    }
  }

  /** Fenced: the newer poller goes on. Anything else: undo, and read again from the place that stands. */
  async #failed(error: Error): Promise<void> {
    this.#o.onWarning?.(error)
    if (isError(error, 'PRODUCER_FENCED')) throw error
    this.#cursor = null
    await this.#output.undo().catch((cause: unknown) => {
      if (isError(cause, 'PRODUCER_FENCED')) throw cause
    })
  }
}
