import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import { eventsKnownAt } from '#core/forecasting'
import { murmur3Text } from '#core/math'
import type { Broker, Clock, Producer, Warehouse } from '#core/ports'
import { topicName } from '#schemas'
import type { FollowedTables } from '../followed-tables.ts'
import type { NetKind } from './net-fit.ts'
import { trainNets } from './nets.ts'
import { keyOf, modelRecord } from './model-record.ts'
import { type TrainingPool, trainingPool } from './pool.ts'
import { type History, readHistories, readSeries, type SeriesToTrain } from './series-source.ts'

/** Where training reads and writes. */
export interface RefitDeps {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly warehouse: Warehouse
  /** Calendar and champions that stand. */
  readonly tables: FollowedTables
  readonly clock: Clock
  readonly prefix: string
}

/** What is trained and when. */
export interface RefitOptions {
  readonly workers: number
  /** Candidate seasons, ms. */
  readonly seasonsMs: readonly number[]
  /** How often each series is looked at again, ms. */
  readonly everyMs: number
  /** History that is read, ms. */
  readonly historyMs: number
  /** 'due': the series whose turn of the day has come (and new ones); 'stale': all not looked at for half of `everyMs`; 'all': all. */
  readonly which: 'due' | 'stale' | 'all'
  /** Networks to train for metrics that many series share. */
  readonly nets: readonly NetKind[]
  /** How often each example is seen. */
  readonly netPasses: number
  /** Told what is worth a line. */
  onNote?(text: string): void
  /** Told after every batch, and asked whether to go on. */
  onProgress?(progress: RefitProgress): boolean | undefined
}

/** How far a run is. */
export interface RefitProgress {
  readonly total: number
  /** Series not due, or looked at lately (also by a run that was killed). */
  readonly fresh: number
  readonly done: number
  /** Of those done: champions that changed, series that start from similar ones. */
  readonly changed: number
  readonly borrowed: number
  /** Series without a history yet, and those too young for a champion with nobody to start from. */
  readonly empty: number
  readonly young: number
  readonly failed: number
  readonly seconds: number
}

const SERIES_PER_BATCH = 32
const BATCHES_PER_THREAD = 2

/**
 * Looks at the champions of all series once. Histories are read in batches, never more than two per thread at a time, so memory does
 * not grow with the number of series. Each batch of champions is acknowledged by Kafka before it counts as done; what a killed run has
 * written stands, and the next run leaves those series out: the topic itself is the account of progress.
 */
export async function refit(deps: RefitDeps, options: RefitOptions): Promise<RefitProgress> {
  const { tables, warehouse, clock } = deps
  const startedMs = performance.now()
  await tables.ready()
  const all = await readSeries(warehouse)
  const nowMs = clock.nowMs()
  const due = all.filter((series) => isDue(series, tables, options, nowMs))
  const progress = {
    total: all.length,
    fresh: all.length - due.length,
    done: 0,
    changed: 0,
    borrowed: 0,
    empty: 0,
    young: 0,
    failed: 0,
    seconds: 0,
  }
  if (due.length === 0) return progress
  const sinceMs = Math.max(0, (await newestMs(warehouse)) - options.historyMs)
  const trained = options.nets.length > 0 ? await trainNets(deps, options, all, sinceMs) : []
  const nets = [...tables.netStates.values()].map((net) => net.state)
  const pool = trainingPool(options.workers, {
    events: eventsKnownAt(tables.events(), nowMs),
    // Of one id the last counts: what was trained just now.
    nets: [...nets, ...trained],
  })
  const producer = deps.broker.producer()
  let at = 0
  let isStopped = false
  const lane = async (): Promise<void> => {
    while (at < due.length && !isStopped) {
      const batch = due.slice(at, (at += SERIES_PER_BATCH))
      const counts = await refitBatch(deps, options, pool, producer, batch, sinceMs)
      for (const name of ['done', 'changed', 'borrowed', 'empty', 'young', 'failed'] as const)
        progress[name] += counts[name]
      progress.seconds = (performance.now() - startedMs) / 1000
      if (options.onProgress?.({ ...progress }) === false) isStopped = true
    }
  }
  try {
    await Promise.all(Array.from({ length: BATCHES_PER_THREAD * options.workers }, lane))
  } finally {
    isStopped = true
    await pool.close()
    await producer.close()
  }
  return progress
}

/**
 * The re-selection is spread over the period by a hash of the series: each has its own moment, and is due if it has not been looked at
 * since. A series without a champion is always due.
 */
function isDue(
  series: SeriesToTrain,
  tables: FollowedTables,
  { which, everyMs }: RefitOptions,
  nowMs: number,
): boolean {
  const standing = tables.model(keyOf(series))
  if (which === 'all' || standing === undefined) return true
  // What was chosen on a short history is looked at again when that has doubled.
  const heldMs = standing.points * series.stepMs
  if (which === 'due' && heldMs < everyMs && standing.version + heldMs <= nowMs) return true
  // A version is the time of its fit, or a little more.
  if (which === 'stale') return standing.version < nowMs - everyMs / 2
  const offsetMs = (murmur3Text(keyOf(series)) / 2 ** 32) * everyMs
  const turnMs = Math.floor((nowMs - offsetMs) / everyMs) * everyMs + offsetMs
  return standing.version < turnMs
}

interface BatchCounts {
  done: number
  changed: number
  borrowed: number
  empty: number
  young: number
  failed: number
}

async function refitBatch(
  deps: RefitDeps,
  options: RefitOptions,
  pool: TrainingPool,
  producer: Producer,
  batch: readonly SeriesToTrain[],
  sinceMs: number,
): Promise<BatchCounts> {
  const { tables, codec, clock, prefix, warehouse } = deps
  const histories = await readHistories(warehouse, batch, sinceMs)
  const inputs = histories.map((history) => selectionInput(history, options, tables))
  const steps = inputs.map(({ values }) => values.length)
  const outcomes = await pool.select(inputs)
  const counts: BatchCounts = {
    done: 0,
    changed: 0,
    borrowed: 0,
    empty: batch.length - histories.length,
    young: 0,
    failed: 0,
  }
  const topic = topicName('models', prefix)
  outcomes.forEach((selection, i) => {
    const { series, lastMs } = histories[i] as History
    if ('failure' in selection) {
      counts.failed++
      return
    }
    const standing = tables.model(keyOf(series))
    const nowMs = clock.nowMs()
    const record = modelRecord({
      series,
      seasons: inputs[i]?.options.seasons ?? [],
      selection,
      standing,
      donors: tables.donors(series.scope, series.metric),
      lastMs,
      steps: steps[i] as number,
      nowMs,
    })
    if (record === undefined) {
      counts.young++
      return
    }
    producer.add(topic, 0, nowMs, Buffer.from(keyOf(series)), codec.encode('models', 'Model', record))
    counts.done++
    if (standing !== undefined && standing.model !== record.model) counts.changed++
    if (record.similar_to !== '') counts.borrowed++
  })
  await producer.flush()
  return counts
}

function selectionInput({ series, values, lastMs }: History, options: RefitOptions, tables: FollowedTables) {
  const { stepMs, horizon, entity } = series
  const seasons = options.seasonsMs.map((ms) => Math.round(ms / stepMs)).filter((season) => season >= 2)
  const standing = tables.model(keyOf(series))
  return {
    entity,
    values,
    lastMs,
    options: { stepMs, horizon, seasons, nonNegative: true, historyPoints: Math.max(200, values.length) },
    ...(standing === undefined ? {} : { standing: standing.model }),
  }
}

/** End of the newest window, ms: training goes by the time of the data, which may be a replay's. */
async function newestMs(warehouse: Warehouse): Promise<number> {
  const [row] = await warehouse.query<{ at: number }>(
    `SELECT max(at) AS at FROM (
      SELECT toUnixTimestamp64Milli(max(window_end_ms)) AS at FROM features_streams
      UNION ALL SELECT toUnixTimestamp64Milli(max(window_end_ms)) AS at FROM features_regions
    )`,
  )
  return row?.at ?? 0
}
