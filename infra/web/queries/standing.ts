import type { Warehouse } from '#core/ports'
import type { RouteBody, ShardBody } from '#schemas'
import { ForestallError } from '#core/ports'
import { BOUNDED, ms } from './bounds.ts'

/** Topics of the decisions shown. */
export const ROUTES_TOPIC = 'decisions.traffic.routes'
/** Where shard decisions stand. */
export const SHARDS_TOPIC = 'decisions.traffic.shards'

/** The decision that stands for a stream. */
export interface Standing<Body> {
  readonly stream: string
  readonly decisionId: string
  readonly epoch: number
  readonly issuedAtMs: number
  readonly expiresAtMs: number | null
  readonly expired: boolean
  readonly mode: string
  readonly body: Body
}

interface Row extends Omit<Standing<unknown>, 'body' | 'expired'> {
  readonly body: string
  readonly expired: boolean
}

/** Reads a JSON column of a decision. Throws WAREHOUSE_REJECTED if it is not JSON: somebody else wrote the table. */
export function parseJson(text: string, decisionId: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new ForestallError('WAREHOUSE_REJECTED', `A column of decision ${decisionId} is not JSON.`, {
      cause,
    })
  }
}

/**
 * What stands per stream, tombstones left out, at most `limit`. Like the view `decisions_standing`, but it finds the
 * rows by their sorting key alone and reads only the bodies that stand.
 */
async function standing<Body>(
  warehouse: Warehouse,
  topic: string,
  { stream = '', limit }: { stream?: string; limit: number },
): Promise<Standing<Body>[]> {
  const rows = await warehouse.query<Row>(
    `SELECT entity AS stream, decision_id AS decisionId, epoch, ${ms('issued_at_ms')} AS issuedAtMs,
      if(isNull(expires_at_ms), NULL, ${ms('assumeNotNull(expires_at_ms)')}) AS expiresAtMs,
      toBool(ifNull(expires_at_ms <= now64(3), false)) AS expired, mode, body
    FROM decisions FINAL
    WHERE decision_topic = {topic:String} AND (entity, kafka_partition, kafka_offset) IN (
      SELECT entity, argMax(kafka_partition, kafka_offset), max(kafka_offset) FROM decisions
      WHERE decision_topic = {topic:String} AND ({stream:String} = '' OR entity = {stream:String})
      GROUP BY entity
    ) AND NOT tombstone
    ORDER BY stream LIMIT {limit:UInt32} ${BOUNDED}`,
    { topic, stream, limit },
  )
  return rows.map((row) => ({ ...row, body: parseJson(row.body, row.decisionId) as Body }))
}

/** The routes that stand. */
export const standingRoutes = (
  warehouse: Warehouse,
  where: { stream?: string; limit: number },
): Promise<Standing<RouteBody>[]> => standing(warehouse, ROUTES_TOPIC, where)

/** The shards that stand. */
export const standingShards = (
  warehouse: Warehouse,
  where: { stream?: string; limit: number },
): Promise<Standing<ShardBody>[]> => standing(warehouse, SHARDS_TOPIC, where)
