import type { RouteBody } from '#schemas'
import { ForestallError } from '#core/ports'
import { ancestorPrefix, FLOW_DEPTH, LEAVES, MAX_DEPTH } from '../shards/ring.ts'
import { splitByWeight } from './hash-split.ts'

/** Where traffic goes. */
export interface Route {
  readonly region: string
  readonly path: string
  /** Empty if the stream has no shard there (weights only, or the default). */
  readonly shardId: string
  /** 0 first. */
  readonly priority: number
  /** The decision that says so; empty: the configured default. */
  readonly decisionId: string
}

/** Marks an entry under which single flows go elsewhere. */
export const HAS_FLOWS = 0x8000

/** The routes of one stream, and which part of the ring takes which. */
export interface StreamRoutes {
  /** A hash's part is hash >>> shift. */
  readonly shift: number
  /** Index into `routes` per part, plus HAS_FLOWS. */
  readonly entries: Uint16Array
  readonly routes: readonly Route[]
  /** Flows with an entry of their own: hash and index into `routes`. */
  readonly flows: Uint32Array
  readonly flowRoutes: Uint16Array
}

/** Everything to one route. */
export function singleRoute(route: Route): StreamRoutes {
  return {
    shift: 31,
    entries: new Uint16Array(2),
    routes: [route],
    flows: new Uint32Array(0),
    flowRoutes: new Uint16Array(0),
  }
}

function refuse(body: RouteBody, what: string): ForestallError {
  return new ForestallError('DATA_PLANE_REFUSED', `routes of ${body.stream}: ${what}`)
}

function check(body: RouteBody): void {
  for (const { shard_id, depth, prefix } of body.assignments) {
    if (depth !== FLOW_DEPTH && !(Number.isInteger(depth) && depth >= 0 && depth <= MAX_DEPTH))
      throw refuse(body, `shard ${shard_id} has depth ${depth}, not 0 to ${MAX_DEPTH} or ${FLOW_DEPTH}`)
    if (!(Number.isInteger(prefix) && prefix >= 0 && prefix < 2 ** depth))
      throw refuse(body, `shard ${shard_id} has prefix ${prefix}, not ${depth} bits`)
  }
  for (const { path_id, weight } of body.paths)
    if (!(weight >= 0 && weight < Infinity)) throw refuse(body, `path ${path_id} has weight ${weight}`)
}

/**
 * The routes that a decision asks for. Shards come first (the deepest wins); parts of the ring without a shard are split
 * by the path weights; with neither, they take `fallback`. Throws DATA_PLANE_REFUSED.
 */
export function streamRoutes(body: RouteBody, decisionId: string, fallback: Route): StreamRoutes {
  check(body)
  const shards = body.assignments.filter((shard) => shard.depth <= MAX_DEPTH)
  const flows = body.assignments.filter((shard) => shard.depth === FLOW_DEPTH)
  const covered = shards.reduce((sum, shard) => sum + 2 ** -shard.depth, 0)
  const depth =
    covered < 1 || flows.length > 0 ? MAX_DEPTH : Math.max(1, ...shards.map((shard) => shard.depth))
  const { entries, routes } = byWeight(body, decisionId, fallback, 2 ** depth, covered < 1)
  for (const shard of shards.toSorted((a, b) => a.depth - b.depth)) {
    const width = 2 ** (depth - shard.depth)
    entries.fill(routes.length, shard.prefix * width, (shard.prefix + 1) * width)
    routes.push(toRoute(shard, decisionId))
  }
  const firstFlow = routes.length
  for (const flow of flows) {
    const part = ancestorPrefix(flow.prefix, FLOW_DEPTH, depth)
    entries[part] = entries[part]! | HAS_FLOWS
    routes.push(toRoute(flow, decisionId))
  }
  return {
    shift: 32 - depth,
    entries,
    routes,
    flows: Uint32Array.from(flows, (flow) => flow.prefix),
    flowRoutes: Uint16Array.from(flows, (_, i) => firstFlow + i),
  }
}

function toRoute(shard: RouteBody['assignments'][number], decisionId: string): Route {
  return {
    region: shard.region,
    path: shard.path_id,
    shardId: shard.shard_id,
    priority: shard.priority,
    decisionId,
  }
}

/** What lies under the shards: the weights where they are needed. */
function byWeight(
  body: RouteBody,
  decisionId: string,
  fallback: Route,
  parts: number,
  needed: boolean,
): { entries: Uint16Array; routes: Route[] } {
  const paths = needed ? body.paths.filter((path) => path.weight > 0) : []
  if (paths.length === 0) return { entries: new Uint16Array(parts), routes: [fallback] }
  return {
    entries: splitByWeight(
      paths.map(({ path_id, weight }) => ({ id: path_id, weight })),
      parts,
    ),
    routes: paths.map(({ path_id, region }) => ({
      region,
      path: path_id,
      shardId: '',
      priority: fallback.priority,
      decisionId,
    })),
  }
}

/** Share of the ring that changes its path between two tables, 0..1 (single flows not counted). */
export function changedRing(before: StreamRoutes, after: StreamRoutes): number {
  const pathAt = ({ shift, entries, routes }: StreamRoutes, leaf: number) =>
    routes[entries[(leaf << (32 - MAX_DEPTH)) >>> shift]! & (HAS_FLOWS - 1)]!.path
  let changed = 0
  for (let leaf = 0; leaf < LEAVES; leaf++) if (pathAt(before, leaf) !== pathAt(after, leaf)) changed++
  return changed / LEAVES
}
