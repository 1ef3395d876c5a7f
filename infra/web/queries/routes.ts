import type { Warehouse } from '#core/ports'
import type { RouteBody, ShardBody } from '#schemas'
import { type Standing, standingRoutes, standingShards } from './standing.ts'

const head = ({ decisionId, epoch, issuedAtMs, expiresAtMs, expired, mode }: Standing<unknown>) => ({
  decisionId,
  epoch,
  issuedAtMs,
  expiresAtMs,
  expired,
  mode,
})

/** The answer of `/api/routes`: per stream its paths by region, with their weights. */
export async function listRoutes(warehouse: Warehouse, limit: number) {
  const standing = await standingRoutes(warehouse, { limit })
  return {
    routes: standing.map((it) => ({
      stream: it.stream,
      ...head(it),
      owner: it.body.region_owner,
      shards: it.body.assignments.length,
      paths: it.body.paths.map(({ path_id, region, weight }) => ({ pathId: path_id, region, weight })),
    })),
  }
}

/** A shard and where its flows go; '' if the standing route does not name it. */
function placed(shard: ShardBody['shards'][number], route: RouteBody | undefined) {
  const assigned = route?.assignments.find((it) => it.depth === shard.depth && it.prefix === shard.prefix)
  return {
    shardId: shard.shard_id,
    depth: shard.depth,
    prefix: shard.prefix,
    share: shard.share,
    priority: shard.priority,
    critical: shard.critical,
    minRegions: shard.min_regions,
    region: assigned?.region ?? '',
    pathId: assigned?.path_id ?? '',
  }
}

/** The answer of `/api/shards`: how a stream is cut, in the order of the ring; null: no decision stands. */
export async function readShards(warehouse: Warehouse, stream: string) {
  const [[cut], [route]] = await Promise.all([
    standingShards(warehouse, { stream, limit: 1 }),
    standingRoutes(warehouse, { stream, limit: 1 }),
  ])
  const shards = (cut?.body.shards ?? [])
    .map((shard) => placed(shard, route?.body))
    .toSorted((a, b) => a.prefix / 2 ** a.depth - b.prefix / 2 ** b.depth)
  return { stream, decision: cut === undefined ? null : head(cut), shards }
}
