import type { RouteBody, Shard } from '#schemas'
import type { Network } from '../network.ts'
import { carryPlacement } from './size-shards.ts'

/**
 * Where the shards of every stream stand before a placement: path per shard in the order of `shardColumns`, -1 if new.
 * `standing`: the routes in force by stream; paths that the network no longer has count as new.
 */
export function standingPaths(
  network: Network,
  shardsByStream: readonly (readonly Shard[])[],
  standing: ReadonlyMap<string, RouteBody>,
): Int32Array {
  const pathOf = new Map(network.pathIds.map((id, p) => [id, p]))
  const paths = shardsByStream.flatMap((shards, k) => {
    const placed = (standing.get(network.pairNames[k]!)?.assignments ?? []).flatMap(
      ({ depth, prefix, path_id }) => {
        const path = pathOf.get(path_id)
        return path === undefined || network.pairOf[path] !== k ? [] : [{ depth, prefix, path }]
      },
    )
    return carryPlacement(placed, shards).map((path) => path ?? -1)
  })
  return Int32Array.from(paths)
}

/**
 * The routes to issue, one body per stream: the plan as weights, and every shard on its path. `path`: as placed, in the
 * order of `shardColumns`. The region that owns the state of a stream is left as it stands ('' at first).
 */
export function routeBodies(
  network: Network,
  shardsByStream: readonly (readonly Shard[])[],
  targets: Float64Array,
  path: Int32Array,
  standing: ReadonlyMap<string, RouteBody> = new Map(),
): RouteBody[] {
  let at = 0
  return shardsByStream.map((shards, k) => {
    const stream = network.pairNames[k]!
    const paths = []
    for (let p = network.firstPath[k]!; p < network.firstPath[k + 1]!; p++)
      if (targets[p]! > 0)
        paths.push({ path_id: network.pathIds[p]!, region: network.regions[p]!, weight: targets[p]! })
    const assignments = shards.map(({ shard_id, depth, prefix, priority }) => {
      const p = path[at++]!
      return { shard_id, depth, prefix, path_id: network.pathIds[p]!, region: network.regions[p]!, priority }
    })
    return { stream, paths, assignments, region_owner: standing.get(stream)?.region_owner ?? '' }
  })
}
