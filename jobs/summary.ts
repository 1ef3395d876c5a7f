import type { Warehouse } from '#core/ports'
import { audit } from './demo/accounting.ts'
import { auditProcessed } from './demo/audit-processed.ts'
import type { Session } from './session.ts'

/**
 * What a headless run prints as its last line (keys of the evaluation protocol). A subsystem beside traffic-routing
 * has a key of its own, its word.
 */
export interface RunSummary {
  readonly recordsIn: number
  readonly windows: number
  readonly forecasts: number
  readonly risks: number
  readonly decisions: number
  readonly acks: number
  readonly deadLetters: number
  readonly late: number
  readonly skipped: Readonly<Record<string, number>>
  readonly lost: number
  readonly duplicated: number
  /** Of routes and shards, from the start of the window to the acknowledgement that its decision is applied. */
  readonly latencyMs: { readonly p50: number | null; readonly p99: number | null }
  readonly elapsedS: number
  /** Decisions applied, by topic: shards and routes. */
  readonly applied: Readonly<Record<string, number>>
  /** Flows by the region whose processor took them, each by exactly one; absent for a recording. */
  readonly processedByRegion?: Readonly<Record<string, number>>
  /** Forecasts that were scored against what happened, by subsystem. */
  readonly scored: Readonly<Record<string, number>>
  /** False if anything was lost, duplicated or counted wrongly. */
  readonly sound: boolean
  readonly details: readonly string[]
}

/** Counts of what flowed, for the page and the terminal. */
export interface RunCounts {
  readonly windows: number
  readonly forecasts: number
  readonly risks: number
  readonly decisions: number
  readonly acks: number
}

const COUNTS = `SELECT
  (SELECT count() FROM features_streams FINAL) + (SELECT count() FROM features_regions FINAL) AS windows,
  (SELECT count() FROM forecasts_traffic FINAL) AS forecasts,
  (SELECT count() FROM risks_traffic FINAL) AS risks,
  (SELECT count() FROM decisions FINAL) AS decisions,
  (SELECT count() FROM acks_decisions FINAL) AS acks`

/** A decision's Kafka timestamp is the end of the window it rests on. */
const LATENCY = `SELECT quantileExactOrNull(0.5)(latency_ms) AS p50, quantileExactOrNull(0.99)(latency_ms) AS p99 FROM (
  SELECT toUnixTimestamp64Milli(min(a.at_ms)) - toUnixTimestamp64Milli(any(d.kafka_timestamp_ms)) + {windowMs:Int64} AS latency_ms
  FROM acks_decisions AS a FINAL INNER JOIN decisions AS d FINAL ON a.decision_id = d.decision_id
  WHERE a.state = 'applied' AND NOT startsWith(a.follower, 'processor/')
    AND startsWith(d.decision_topic, 'decisions.traffic.') GROUP BY a.decision_id, a.follower)`

const APPLIED = `SELECT decision_topic, uniqExact(decision_id) AS n FROM acks_decisions FINAL WHERE state = 'applied' GROUP BY decision_topic`

const SCORED = `SELECT subsystem, count() AS n FROM forecast_outcomes GROUP BY subsystem`

const numbers = (row: Record<string, unknown> | undefined): Record<string, number> =>
  Object.fromEntries(Object.entries(row ?? {}).map(([name, value]) => [name, Number(value)]))

/** What is in the warehouse now. */
export async function readCounts(warehouse: Warehouse): Promise<RunCounts> {
  const [row] = await warehouse.query<Record<string, unknown>>(COUNTS)
  const { windows = 0, forecasts = 0, risks = 0, decisions = 0, acks = 0 } = numbers(row)
  return { windows, forecasts, risks, decisions, acks }
}

/** Latency from telemetry to applied; null while nothing has been applied. */
export async function readLatency(warehouse: Warehouse, windowMs: number): Promise<RunSummary['latencyMs']> {
  const [row] = await warehouse.query<{ p50: unknown; p99: unknown }>(LATENCY, { windowMs })
  const ms = (value: unknown) => (value === null || value === undefined ? null : Number(value))
  return { p50: ms(row?.p50), p99: ms(row?.p99) }
}

/** What a run came to. */
export interface RunAccount {
  readonly summary: RunSummary
  /** Of the subsystems beside traffic-routing, for people. */
  readonly lines: readonly string[]
}

/** The account of a run that has been drained: everything written against everything found. */
export async function summarise(session: Session, elapsedMs: number): Promise<RunAccount> {
  const { pipelines, prefix, config } = session
  const { broker, codec, warehouse } = pipelines
  const report = await audit({ broker, codec, topicPrefix: prefix, warehouse, truth: session.truth() })
  const processed = session.processors ? await auditProcessed(broker, codec, prefix) : null
  const accounts = session.beside.map(({ word, demo }) => ({ word, ...demo.account() }))
  const applied = await warehouse.query<{ decision_topic: string; n: unknown }>(APPLIED)
  const scored = await warehouse.query<{ subsystem: string; n: unknown }>(SCORED)
  const summary: RunSummary = {
    recordsIn: report.records,
    ...(await readCounts(warehouse)),
    deadLetters: Object.values(report.deadLetters).reduce((sum, n) => sum + n, 0),
    late: report.late,
    skipped: report.skipped,
    lost: report.lost + (processed?.lost ?? 0),
    duplicated: report.duplicated + (processed?.duplicated ?? 0),
    latencyMs:
      config.time === 'wall' ? await readLatency(warehouse, config.windowMs) : { p50: null, p99: null },
    elapsedS: Math.round(elapsedMs / 100) / 10,
    applied: Object.fromEntries(
      applied.map(({ decision_topic, n }) => [decision_topic.slice(prefix.length), Number(n)]),
    ),
    scored: Object.fromEntries(scored.map(({ subsystem, n }) => [subsystem, Number(n)])),
    ...(processed ? { processedByRegion: processed.byRegion } : {}),
    ...Object.fromEntries(accounts.map((it) => [it.word, it.summary])),
    sound:
      report.sound &&
      (processed === null || processed.lost + processed.duplicated + processed.strange === 0) &&
      accounts.every((it) => it.sound),
    details: [...report.details, ...(processed?.details ?? []), ...accounts.flatMap((it) => it.details)],
  }
  return { summary, lines: accounts.flatMap((it) => it.lines) }
}
