import { ForestallError, type Warehouse } from '#core/ports'
import { atMs, BOUNDED, ms } from './bounds.ts'
import { newestMs } from './newest.ts'
import { parseJson } from './standing.ts'
import { changeInWords } from './words.ts'

/** Records looked at for the newest decisions: renewals among them are left out. */
const MAX_SCANNED = 1000
const RECENT_MS = 24 * 3_600_000
const MAX_ACKS = 2000

/** What a follower last said about a decision. */
export interface AckRow {
  readonly decisionId: string
  readonly follower: string
  readonly state: string
  readonly atMs: number
  readonly observed: Readonly<Record<string, string>>
}

/** A decision as a row. */
interface DecisionRow {
  readonly topic: string
  readonly decisionId: string
  readonly stream: string
  readonly epoch: number
  readonly issuedAtMs: number
  readonly mode: string
  readonly tombstone: boolean
  readonly risk: number
  readonly drivers: readonly string[]
  readonly costNow: number
  readonly costAfter: number
  readonly renewal: boolean
  readonly body: string
  readonly before: string
}

/** When it was decided; a tombstone has no more than its Kafka timestamp. */
const ISSUED = `if(tombstone, ${ms('kafka_timestamp_ms')}, ${ms('issued_at_ms')})`
const COLUMNS = `decision_topic AS topic, decision_id AS decisionId, entity AS stream, epoch, ${ISSUED} AS issuedAtMs,
  mode, tombstone, reason_risk AS risk, reason_drivers AS drivers, reason_cost_now AS costNow,
  reason_cost_after AS costAfter`

/** Each scanned record beside the one before it under the same key. */
const SCANNED = `
  SELECT *, lagInFrame(body) OVER (
    PARTITION BY decision_topic, entity ORDER BY kafka_offset ROWS BETWEEN 1 PRECEDING AND CURRENT ROW
  ) AS before
  FROM decisions FINAL
  WHERE (decision_topic, entity, kafka_partition, kafka_offset) IN (
    SELECT decision_topic, entity, kafka_partition, kafka_offset FROM decisions
    WHERE kafka_timestamp_ms >= ${atMs('from')} AND ({stream:String} = '' OR entity = {stream:String})
    ORDER BY kafka_timestamp_ms DESC, kafka_offset DESC LIMIT {scanned:UInt32}
  )`

/**
 * The answer of `/api/decisions`: the newest decisions with what they change, why, and what followers did. The
 * `delayMs` of an ack runs from the time of the decision (the end of the last window it has seen) to the clock of the
 * follower.
 */
export async function listDecisions(
  warehouse: Warehouse,
  { limit, stream = '', renewals }: { limit: number; stream?: string | undefined; renewals: boolean },
) {
  const newest = await newestMs(warehouse, 'decisions')
  if (newest === 0) return { decisions: [] }
  const rows = await warehouse.query<DecisionRow>(
    `SELECT ${COLUMNS}, toBool(NOT tombstone AND body = before) AS renewal, body, before FROM (${SCANNED})
    WHERE {renewals:Bool} OR tombstone OR body != before
    ORDER BY kafka_timestamp_ms DESC, kafka_offset DESC LIMIT {limit:UInt32} ${BOUNDED}`,
    { from: newest - RECENT_MS, stream, scanned: MAX_SCANNED, renewals, limit },
  )
  const acks = await acksOf(warehouse, rows)
  return {
    decisions: rows.map(({ body, before, ...row }) => ({
      ...row,
      change: row.tombstone ? 'back to the default' : changeOf(row, body, before),
      acks: acks
        .filter((ack) => ack.decisionId === row.decisionId && !row.tombstone)
        .map((ack) => withDelay(ack, row.issuedAtMs)),
    })),
  }
}

const changeOf = (row: Omit<DecisionRow, 'body' | 'before'>, body: string, before: string): string =>
  row.renewal ? 'renewed, unchanged' : changeInWords(row.topic, body, before, row.decisionId)

const withDelay = ({ follower, state, atMs, observed }: AckRow, issuedAtMs: number) => ({
  follower,
  state,
  atMs,
  delayMs: atMs - issuedAtMs,
  observed,
})

/** The last word of each follower on these decisions. */
async function acksOf(
  warehouse: Warehouse,
  rows: readonly { topic: string; stream: string; epoch: number; decisionId: string }[],
): Promise<AckRow[]> {
  if (rows.length === 0) return []
  const distinct = <T>(values: readonly T[]): T[] => [...new Set(values)]
  return await warehouse.query<AckRow>(
    `SELECT decision_id AS decisionId, follower, state, ${ms('at_ms')} AS atMs, observed
    FROM acks_decisions FINAL
    WHERE decision_topic IN {topics:Array(String)} AND entity IN {entities:Array(String)}
      AND epoch IN {epochs:Array(Int64)} AND decision_id IN {ids:Array(String)}
    ORDER BY at_ms DESC, kafka_offset DESC
    LIMIT 1 BY decisionId, follower LIMIT {limit:UInt32} ${BOUNDED}`,
    {
      topics: distinct(rows.map((row) => row.topic)),
      entities: distinct(rows.map((row) => row.stream)),
      epochs: distinct(rows.map((row) => row.epoch)),
      ids: rows.map((row) => row.decisionId),
      limit: MAX_ACKS,
    },
  )
}

interface ExplainRow extends Omit<DecisionRow, 'renewal' | 'before'> {
  readonly inputs: string
}

/** The answer of `/api/decision/:id`: all of one decision, and every ack. Throws NOT_FOUND. */
export async function explainDecision(warehouse: Warehouse, id: string) {
  const rows = await warehouse.query<ExplainRow>(
    `SELECT ${COLUMNS}, ${ms('not_before_ms')} AS notBeforeMs,
      if(isNull(expires_at_ms), NULL, ${ms('assumeNotNull(expires_at_ms)')}) AS expiresAtMs,
      canary_share AS canaryShare, replay_id AS replayId, reason_q10 AS q10, reason_q50 AS q50, reason_q90 AS q90,
      model_version AS modelVersion, policy_version AS policyVersion, supersedes, inputs, body
    FROM decisions FINAL WHERE decision_id = {id:String} AND NOT tombstone
    ORDER BY kafka_offset DESC LIMIT 1 ${BOUNDED}`,
    { id },
  )
  const row = rows[0]
  if (row === undefined) throw new ForestallError('NOT_FOUND', 'There is no decision of this id.')
  const acks = await warehouse.query<AckRow>(
    `SELECT decision_id AS decisionId, follower, state, ${ms('at_ms')} AS atMs, observed
    FROM acks_decisions FINAL
    WHERE decision_topic = {topic:String} AND entity = {stream:String} AND epoch = {epoch:Int64}
      AND decision_id = {id:String}
    ORDER BY at_ms, kafka_offset LIMIT {limit:UInt32} ${BOUNDED}`,
    { id, topic: row.topic, stream: row.stream, epoch: row.epoch, limit: MAX_ACKS },
  )
  return {
    ...row,
    body: parseJson(row.body, id),
    inputs: parseJson(row.inputs, id),
    acks: acks.map((ack) => withDelay(ack, row.issuedAtMs)),
  }
}
