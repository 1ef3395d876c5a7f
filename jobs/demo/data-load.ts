import { type Clock, mulberry32, systemTimers, type TimerHandle, type Timers } from '#core/ports'
import type { DataClient } from './data-client.ts'
import type { HotKeys } from './data-keys.ts'

/** What became of the load; each only grows. */
export interface DataLoadReport {
  readonly queries: number
  /** Queries that were answered with an error, or not at all. */
  readonly errors: number
  /** Not sent because too many were under way. */
  readonly skipped: number
  /** Rows acknowledged. */
  readonly rows: number
  /** Inserts of which nothing is known. */
  readonly unknownInserts: number
  /** Reads with the token of a write that has just been acknowledged. */
  readonly checks: number
  /** Of these, reads that did not see the write. */
  readonly violations: number
  /** Of the last 1,000 queries, ms; null before the first. */
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
  /** The last error, in the server's words; '' if none. */
  readonly lastError: string
}

/** What is in the table in the end, against what was acknowledged. */
export interface DataLoadAudit {
  readonly rows: number
  readonly lost: number
  readonly duplicated: number
  readonly details: readonly string[]
}

/** A load of queries and inserts through the router. */
export interface DataLoad {
  report(): DataLoadReport
  /** Ends sending and waits for what is under way. */
  stop(): Promise<void>
  /** Counts the rows of every key through the router; after `stop`. */
  audit(): Promise<DataLoadAudit>
}

/** Settings of a load. */
export interface DataLoadOptions {
  readonly client: DataClient
  readonly hotKeys: HotKeys
  readonly insertsPerSecond: number
  readonly clock: Clock
  readonly seed: number
  readonly timers?: Timers
  /** Told of each key that is asked for. */
  readonly onKey?: (key: string) => void
}

/** The sharded table of the load. */
export const ORDERS = {
  table: 'orders',
  keyColumn: 'customer',
  create:
    'CREATE TABLE orders (customer String, item UInt32, amount Float64) ENGINE = MergeTree ORDER BY (customer, item)',
} as const

const STEP_MS = 50
const MOST_UNDER_WAY = 100
const RECENT = 1000
const SEED_ROWS = 40

/** Fills every key with rows, so that reads have something to add up. Resolves with the rows of each key. */
export async function fillOrders(client: DataClient, keys: readonly string[]): Promise<Map<string, number>> {
  const values = keys.flatMap((key) =>
    Array.from({ length: SEED_ROWS }, (_, item) => `('${key}', ${item}, ${(item * 7.5) % 100})`),
  )
  const { status, text } = await client.ask(
    `INSERT INTO orders (customer, item, amount) VALUES ${values.join(', ')}`,
    { 'X-Forestall-Acknowledge': 'all' },
  )
  if (status !== 200) throw new Error(`the rows of the demo were refused: ${text}`)
  return new Map(keys.map((key) => [key, SEED_ROWS]))
}

/** Begins to send; `written` are the rows that each key has. */
export function startDataLoad(options: DataLoadOptions, written: Map<string, number>): DataLoad {
  const { client, hotKeys, insertsPerSecond, clock, seed, timers = systemTimers } = options
  const random = mulberry32(seed)
  const beganMs = clock.nowMs()
  const counts = { queries: 0, errors: 0, skipped: 0, rows: 0, unknownInserts: 0, checks: 0, violations: 0 }
  const recent: number[] = []
  const underWay = new Set<Promise<void>>()
  /** Rows of which nothing is known, by key: they may be there or not. */
  const unknown = new Map<string, number>()
  let lastError = ''
  let nextItem = SEED_ROWS
  let timer: TimerHandle | null = null
  let isStopped = false
  const owed = { queries: 0, inserts: 0 }

  const fail = (text: string): void => {
    counts.errors++
    lastError = text.trim().slice(0, 300)
  }

  async function select(key: string): Promise<void> {
    const startMs = performance.now()
    counts.queries++
    options.onKey?.(key)
    try {
      const { status, text } = await client.ask(
        `SELECT count(), sum(amount) FROM orders WHERE customer = '${key}'`,
      )
      if (status !== 200) fail(text)
    } catch (error) {
      fail((error as Error).message)
    }
    recent.push(performance.now() - startMs)
    if (recent.length > RECENT) recent.shift()
  }

  async function insert(key: string): Promise<void> {
    const item = nextItem++
    let token = ''
    try {
      const {
        status,
        text,
        token: given,
      } = await client.ask(`INSERT INTO orders (customer, item, amount) VALUES ('${key}', ${item}, 1.5)`)
      if (status !== 200) throw new Error(text)
      token = given
    } catch (error) {
      counts.unknownInserts++
      unknown.set(key, (unknown.get(key) ?? 0) + 1)
      return fail((error as Error).message)
    }
    counts.rows++
    written.set(key, (written.get(key) ?? 0) + 1)
    await check(key, item, token)
  }

  /** A read with the token of the write must see exactly its row. */
  async function check(key: string, item: number, token: string): Promise<void> {
    try {
      const { status, text } = await client.ask(
        `SELECT count() FROM orders WHERE customer = '${key}' AND item = ${item}`,
        { 'X-Forestall-Token': token },
      )
      if (status !== 200) return fail(text)
      counts.checks++
      if (text.trim() === '1') return
      counts.violations++
      lastError = `item ${item} of ${key}: read ${text.trim()} times after it was acknowledged once`
    } catch (error) {
      fail((error as Error).message)
    }
  }

  function begin(work: Promise<void>): void {
    underWay.add(work)
    void work.then(() => underWay.delete(work))
  }

  function step(): void {
    if (isStopped) return
    const atMs = clock.nowMs() - beganMs
    owed.queries += (hotKeys.rate(atMs) * STEP_MS) / 1000
    owed.inserts += (insertsPerSecond * STEP_MS) / 1000
    for (; owed.queries >= 1; owed.queries--) {
      if (underWay.size >= MOST_UNDER_WAY) counts.skipped++
      else begin(select(hotKeys.draw(atMs, random)))
    }
    for (; owed.inserts >= 1; owed.inserts--) begin(insert(hotKeys.draw(atMs, random)))
    timer = timers.after(STEP_MS, step)
  }

  step()
  return {
    report: () => ({ ...counts, latencyMs: quantiles(recent), lastError }),
    async stop() {
      isStopped = true
      timer?.cancel()
      await Promise.all(underWay)
    },
    audit: () => auditRows(client, written, unknown),
  }
}

async function auditRows(
  client: DataClient,
  written: ReadonlyMap<string, number>,
  unknown: ReadonlyMap<string, number>,
): Promise<DataLoadAudit> {
  const found = { rows: 0, lost: 0, duplicated: 0 }
  const details: string[] = []
  for (const [key, wanted] of written) {
    const { status, text } = await client.ask(`SELECT count() FROM orders WHERE customer = '${key}'`)
    const rows = status === 200 ? Number(text.trim()) : Number.NaN
    const most = wanted + (unknown.get(key) ?? 0)
    if (rows >= wanted && rows <= most) {
      found.rows += rows
      continue
    }
    if (Number.isNaN(rows)) found.lost += wanted
    else {
      found.rows += rows
      found.lost += Math.max(0, wanted - rows)
      found.duplicated += Math.max(0, rows - most)
    }
    if (details.length < 5) details.push(`orders of ${key}: ${text.trim()} rows, ${wanted} acknowledged`)
  }
  return { ...found, details }
}

/** p50 and p99 of numbers; null without any. */
export function quantiles(values: readonly number[]): { p50: number | null; p99: number | null } {
  const sorted = values.toSorted((a, b) => a - b)
  const at = (q: number): number | null => sorted[Math.floor(q * (sorted.length - 1))] ?? null
  return { p50: at(0.5), p99: at(0.99) }
}
