import type { Ack, DecisionInput, Forecast } from '#schemas'
import { TABLES } from '#schemas'
import { explainDecision, type Explanation } from '#core/decisions'
import { type Decision, ForestallError, type Warehouse } from '#core/ports'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openRows } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'

/** `forestall explain`. */
export interface ExplainArgs extends CommonArgs {
  /** A decision, or an entity: then its newest decision. */
  readonly id: string
  /** Of a replay; '' is live. */
  readonly replayId: string
  readonly dataDir: string
}

interface DecisionRow
  extends Omit<Decision<unknown>, 'reason' | 'inputs' | 'body' | 'issued_at_ms' | 'not_before_ms'> {
  issued: number
  not_before: number
  expires: number | null
  inputs: string
  body: string
  reason_risk: number
  reason_drivers: string[]
  reason_q10: number
  reason_q50: number
  reason_q90: number
  reason_cost_now: number
  reason_cost_after: number
}

const DECISION = `
SELECT * EXCEPT (issued_at_ms, not_before_ms, expires_at_ms),
  toUnixTimestamp64Milli(issued_at_ms) AS issued,
  toUnixTimestamp64Milli(not_before_ms) AS not_before,
  toUnixTimestamp64Milli(expires_at_ms) AS expires
FROM decisions FINAL
WHERE NOT tombstone AND (decision_id = {id:String} OR entity = {id:String})
ORDER BY decision_id = {id:String} DESC, kafka_timestamp_ms DESC, kafka_offset DESC
LIMIT 1`

const ACKS = `
SELECT * EXCEPT (at_ms), toUnixTimestamp64Milli(acks.at_ms) AS at_ms
FROM acks_decisions AS acks FINAL
WHERE entity = {entity:String} AND epoch = {epoch:Int64} AND decision_id = {decision_id:String}`

/** The forecasts of the entity that were the newest when it was decided. */
const forecastsOf = (table: string): string => `
SELECT f.* EXCEPT (issued_at_ms, target_ms),
  toUnixTimestamp64Milli(f.issued_at_ms) AS issued_at_ms,
  toUnixTimestamp64Milli(f.target_ms) AS target_ms
FROM ${table} AS f FINAL
WHERE f.entity = {entity:String} AND f.issued_at_ms = (
  SELECT max(g.issued_at_ms) FROM ${table} AS g
  WHERE g.entity = {entity:String} AND g.issued_at_ms <= fromUnixTimestamp64Milli({issued:Int64})
)
ORDER BY f.metric, f.horizon_ms`

function toDecision(row: DecisionRow): Decision<unknown> {
  const { issued, not_before: notBefore, expires, inputs, body, ...rest } = row
  return {
    ...rest,
    issued_at_ms: issued,
    not_before_ms: notBefore,
    expires_at_ms: expires,
    inputs: JSON.parse(inputs) as DecisionInput[],
    body: JSON.parse(body) as unknown,
    reason: {
      risk: row.reason_risk,
      drivers: row.reason_drivers,
      q10: row.reason_q10,
      q50: row.reason_q50,
      q90: row.reason_q90,
      cost_now: row.reason_cost_now,
      cost_after: row.reason_cost_after,
    },
  }
}

/** Reads a decision, what followers said of it and the forecasts it rests on. Throws NOT_FOUND. */
export async function explainFrom(warehouse: Warehouse, id: string): Promise<Explanation> {
  const [row] = await warehouse.query<DecisionRow>(DECISION, { id })
  if (row === undefined)
    throw new ForestallError(
      'NOT_FOUND',
      `ClickHouse has no decision "${id}", and none about such an entity.`,
      {
        cure: 'Ids and entities are in the table `decisions`; a decision arrives there within seconds.',
      },
    )
  const { entity, epoch, decision_id, issued } = row
  const tables = TABLES.filter((t) => t.record === 'Forecast').map((t) => t.name)
  const [acks, ...forecasts] = await Promise.all([
    warehouse.query<Ack>(ACKS, { entity, epoch, decision_id }),
    ...tables.map((t) => warehouse.query<Forecast>(forecastsOf(t), { entity, issued })),
  ])
  return explainDecision(toDecision(row), acks, forecasts.flat())
}

/** `forestall explain <decision_id>`: why it was decided, what it rests on, what the followers did. */
export async function runExplain(args: ExplainArgs): Promise<ExitCode> {
  const found = findConnections(args.dataDir)
  const warehouse = await openRows(found, replayPrefix(await findReplay(found, args.replayId)))
  try {
    const { text, json } = await explainFrom(warehouse, args.id)
    process.stdout.write(`${args.json ? JSON.stringify(json) : text}\n`)
    return 0
  } finally {
    await warehouse.close()
  }
}
