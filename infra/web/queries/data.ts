import type { Warehouse } from '#core/ports'
import { BOUNDED, ms } from './bounds.ts'

/** Queries per second of one instance, window by window. */
export interface InstanceLoad {
  readonly instance: string
  readonly tMs: readonly number[]
  readonly load: readonly number[]
}

/** Work of one segment in the last window, and on how many instances it is to be. */
export interface HotSegment {
  readonly segment: number
  readonly work: number
  readonly share: number
  readonly replicas: readonly string[]
}

/** A move of a segment, as far as it has come. */
export interface MoveRow {
  readonly moveId: string
  readonly segment: number
  readonly kind: string
  readonly from: string
  readonly to: string
  readonly phase: string
  readonly rows: number
  readonly atMs: number
}

/** The answer of `/api/data`. */
export interface DataAnswer {
  readonly loads: readonly InstanceLoad[]
  readonly hot: readonly HotSegment[]
  readonly moves: readonly MoveRow[]
}

const WINDOWS = 90
const HOT = 8
const SHARDS = 'decisions.data.shards'

const loads = (warehouse: Warehouse) =>
  warehouse.query<InstanceLoad>(
    `SELECT pipeline_id AS instance, arraySlice(groupArray(t), -{windows:Int32}) AS tMs,
      arraySlice(groupArray(l), -{windows:Int32}) AS load
    FROM (
      SELECT pipeline_id, ${ms('window_end_ms')} AS t, load_mean AS l FROM features_pipelines FINAL
      WHERE window_start_ms >= (SELECT max(window_start_ms) FROM features_pipelines) - toIntervalHour(1)
      ORDER BY pipeline_id, t
    )
    GROUP BY instance ORDER BY instance LIMIT 255 ${BOUNDED}`,
    { windows: WINDOWS },
  )

/** The segments with the most work in the newest window, of whichever service. */
const hottest = (warehouse: Warehouse) =>
  warehouse.query<{ service: string; segment: number; work: number; share: number }>(
    `SELECT service_id AS service, toUInt32(i - 1) AS segment, w AS work, w / greatest(sum, 1e-9) AS share
    FROM (
      SELECT service_id, segment_work, arraySum(segment_work) AS sum FROM features_services FINAL
      WHERE window_start_ms = (SELECT max(window_start_ms) FROM features_services)
    )
    ARRAY JOIN segment_work AS w, arrayEnumerate(segment_work) AS i
    WHERE w > 0 ORDER BY work DESC, segment LIMIT {hot:UInt8} ${BOUNDED}`,
    { hot: HOT },
  )

const placements = (warehouse: Warehouse, entities: readonly string[]) =>
  warehouse.query<{ entity: string; replicas: string[] }>(
    `SELECT entity, arrayMap(r -> JSONExtractString(r, 'instance'),
      arrayFilter(r -> JSONExtractString(r, 'state') != 'draining', JSONExtractArrayRaw(newest, 'replicas'))) AS replicas
    FROM (
      SELECT entity, argMax(body, kafka_offset) AS newest FROM decisions
      WHERE decision_topic = {topic:String} AND entity IN {entities:Array(String)} GROUP BY entity
    ) ${BOUNDED}`,
    { topic: SHARDS, entities },
  )

const newestMoves = (warehouse: Warehouse) =>
  warehouse.query<MoveRow>(
    `SELECT move_id AS moveId, segment, kind, \`from\`, \`to\`, phase, rows, ${ms('at_ms')} AS atMs
    FROM moves_data FINAL WHERE NOT tombstone
    ORDER BY kafka_offset DESC LIMIT 1 BY move_id LIMIT 12 ${BOUNDED}`,
  )

/** Loads of instances over time, the hottest segments with their placement, and the newest moves. */
export async function readData(warehouse: Warehouse): Promise<DataAnswer> {
  const [series, hot, moves] = await Promise.all([
    loads(warehouse),
    hottest(warehouse),
    newestMoves(warehouse),
  ])
  const entityOf = (row: { service: string; segment: number }) =>
    `${row.service}/${String(row.segment).padStart(3, '0')}`
  const placed = hot.length === 0 ? [] : await placements(warehouse, hot.map(entityOf))
  const byEntity = new Map(placed.map(({ entity, replicas }) => [entity, replicas]))
  return {
    loads: series,
    hot: hot.map((row) => ({
      segment: row.segment,
      work: row.work,
      share: row.share,
      replicas: byEntity.get(entityOf(row)) ?? [],
    })),
    moves,
  }
}
