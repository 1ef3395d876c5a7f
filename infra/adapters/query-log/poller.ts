import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import { murmur3 } from '#core/math'
import {
  type Broker,
  type Clock,
  createPause,
  ForestallError,
  isError,
  systemClock,
  systemTimers,
  type TransactionalProducer,
} from '#core/ports'
import { addCursor, CURSOR_TOPIC, readCursor } from './cursor-log.ts'
import { DEFAULT_RULES, type LogRow, normalise, type QueryRule } from './rules.ts'
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

/** What a poller has done since it began. */
export interface QueryLogCounters {
  readonly rows: number
  readonly records: number
  /** Rows that became no record, by reason. */
  readonly skipped: Readonly<Record<string, number>>
  readonly commits: number
}

/** A running poller. */
export interface QueryLogPoller {
  counters(): QueryLogCounters
  /** Rejects if it cannot go on (another poller of the same source took over); resolves after `stop`. */
  readonly done: Promise<void>
  /** Finishes the page under way. Safe to call twice. */
  stop(): Promise<void>
}

const TOPIC = 'logs.queries'
const EVERY_MS = 5000
const SETTLE_MS = 15_000
const PAGE_ROWS = 5000

/**
 * Copies a query log to `logs.queries`, each query once: the place in the log commits with the records, and a newer
 * poller of the same source fences the older one. Topics must exist. Throws NOT_FOUND if they do not.
 */
export async function startQueryLogPoller(options: QueryLogPollerOptions): Promise<QueryLogPoller> {
  const { broker, codec, source, prefix = '' } = options
  const topic = `${prefix}${TOPIC}`
  const cursors = `${prefix}${CURSOR_TOPIC}`
  const partitions = await partitionCount(broker, topic)
  await codec.prepare([{ topic, record: 'QueryLog' }])
  const producer = broker.transactionalProducer({ transactionalId: `forestall-query-log-${prefix}${source}` })
  await producer.init()
  const poller = new Poller(options, { producer, topic, cursors, partitions })
  await poller.begin()
  return poller
}

interface Wiring {
  readonly producer: TransactionalProducer
  readonly topic: string
  readonly cursors: string
  readonly partitions: number
}

class Poller implements QueryLogPoller {
  readonly done: Promise<void>
  readonly #o: QueryLogPollerOptions
  readonly #w: Wiring
  readonly #clock: Clock
  readonly #pause = createPause(systemTimers)
  readonly #counters = { rows: 0, records: 0, skipped: {} as Record<string, number>, commits: 0 }
  readonly #end = Promise.withResolvers<void>()
  #cursor: LogCursor | null = null
  #stopped = false

  constructor(options: QueryLogPollerOptions, wiring: Wiring) {
    this.#o = options
    this.#w = wiring
    this.#clock = options.clock ?? systemClock
    this.done = this.#end.promise
    // Who does not look at `done` hears of the end through `onWarning`.
    this.done.catch(() => undefined)
  }

  async begin(): Promise<void> {
    this.#cursor = await readCursor(this.#o.broker, this.#w.cursors, this.#o.source)
    void this.#run().then(this.#end.resolve, this.#end.reject)
  }

  counters(): QueryLogCounters {
    return { ...this.#counters, skipped: { ...this.#counters.skipped } }
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
      await this.#w.producer.close()
    }
  }

  /** One page; true if there may be more at once. */
  async #page(): Promise<boolean> {
    const { table, pageRows = PAGE_ROWS, settleMs = SETTLE_MS } = this.#o
    try {
      this.#cursor ??= await readCursor(this.#o.broker, this.#w.cursors, this.#o.source)
      const page = await table.read(this.#cursor, pageRows, settleMs)
      if (page.cursor === null) return false
      const skipped = this.#send(page.rows)
      addCursor(this.#w.producer, this.#w.cursors, this.#o.source, page.cursor, this.#clock.nowMs())
      await this.#w.producer.commit()
      this.#cursor = page.cursor
      this.#count(page.rows.length, skipped)
      return page.rows.length === pageRows
    } catch (error) {
      await this.#failed(error as Error)
      return false
    }
  }

  #send(rows: readonly LogRow[]): string[] {
    const { codec, source, rules = DEFAULT_RULES } = this.#o
    const { producer, topic, partitions } = this.#w
    const skipped: string[] = []
    for (const row of rows) {
      const record = normalise(row, rules, source)
      if ('skip' in record) {
        skipped.push(record.skip)
        continue
      }
      const key = Buffer.from(record.pattern)
      const value = codec.encode(topic, 'QueryLog', record)
      producer.add(topic, murmur3(key, 0, key.length) % partitions, record.event_time_ms, key, value)
    }
    return skipped
  }

  #count(rows: number, skipped: readonly string[]): void {
    const counters = this.#counters
    counters.rows += rows
    counters.records += rows - skipped.length
    counters.commits++
    for (const reason of skipped) counters.skipped[reason] = (counters.skipped[reason] ?? 0) + 1
  }

  /** Fenced: the newer poller goes on. Anything else: undo, and read again from the place that stands. */
  async #failed(error: Error): Promise<void> {
    this.#o.onWarning?.(error)
    if (isError(error, 'PRODUCER_FENCED')) throw error
    this.#cursor = null
    await this.#w.producer.abort().catch((cause: unknown) => {
      if (isError(cause, 'PRODUCER_FENCED')) throw cause
    })
  }
}

async function partitionCount(broker: Broker, topic: string): Promise<number> {
  const admin = broker.admin()
  try {
    const partitions = (await admin.partitions([topic])).get(topic)
    if (partitions === undefined) throw new ForestallError('NOT_FOUND', `Topic ${topic} does not exist.`)
    return partitions
  } finally {
    await admin.close()
  }
}
