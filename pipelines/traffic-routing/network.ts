import { ForestallError, mulberry32 } from '#core/ports'

/** A directed link. */
export interface LinkSpec {
  readonly name: string
  /** Same unit as the demands. */
  readonly capacity: number
  /** Propagation, ms. */
  readonly latencyMs: number
}

/** A candidate path of a pair: its links in order, and the region that serves it. */
export interface PathSpec {
  readonly links: readonly number[]
  readonly region: string
}

/** A stream (origin-destination pair) with its candidate paths, the default one first. */
export interface PairSpec {
  readonly name: string
  readonly paths: readonly PathSpec[]
}

/**
 * What is routed over what. Paths are numbered pair by pair: pair k owns firstPath[k]..firstPath[k+1]-1, its first
 * path is the default (shortest). Splits are one number per path that sum to 1 per pair.
 */
export interface Network {
  readonly pairs: number
  readonly paths: number
  readonly links: number
  readonly pairNames: readonly string[]
  readonly linkNames: readonly string[]
  /** Stable id per path: `<pair>#<position>`. */
  readonly pathIds: readonly string[]
  /** Serving region per path. */
  readonly regions: readonly string[]
  readonly firstPath: Int32Array
  readonly pairOf: Int32Array
  /** Links of path p: pathLinks[pathStart[p]..pathStart[p+1]-1]. */
  readonly pathStart: Int32Array
  readonly pathLinks: Int32Array
  readonly capacity: Float64Array
  readonly hops: Float64Array
  /** Propagation per path, ms. */
  readonly latencyMs: Float64Array
  /** hops + 0.5 v, v the path's draw of mulberry32(1): makes optimal vertices unique (evaluation protocol). */
  readonly tieBreak: Float64Array
}

function invalid(field: string, value: unknown, cure: string): ForestallError {
  return new ForestallError('CONFIG_INVALID', `${field} = ${JSON.stringify(value)}`, { cure })
}

function checkLinks(links: readonly LinkSpec[]): void {
  if (links.length === 0) throw invalid('links', [], 'Give at least one link with a capacity above 0.')
  for (const [i, link] of links.entries()) {
    if (!(link.capacity > 0) || link.capacity === Infinity)
      throw invalid(`links[${i}].capacity (${link.name})`, link.capacity, 'Set a finite capacity above 0.')
    if (!(link.latencyMs >= 0))
      throw invalid(`links[${i}].latencyMs (${link.name})`, link.latencyMs, 'Set a latency of 0 ms or more.')
  }
}

function checkPairs(pairs: readonly PairSpec[], links: number): void {
  if (pairs.length === 0) throw invalid('pairs', [], 'Give at least one pair (stream) with a candidate path.')
  for (const pair of pairs) {
    if (pair.paths.length === 0)
      throw invalid(
        `pairs.${pair.name}.paths`,
        [],
        'The destination is unreachable: add a link or a candidate path.',
      )
    for (const path of pair.paths) {
      if (path.links.length === 0)
        throw invalid(`pairs.${pair.name}.paths`, path, 'A path needs at least one link.')
      const unknown = path.links.find((link) => !Number.isInteger(link) || link < 0 || link >= links)
      if (unknown !== undefined)
        throw invalid(`pairs.${pair.name}.paths`, unknown, `Name a link from 0 to ${links - 1}.`)
      if (new Set(path.links).size !== path.links.length)
        throw invalid(`pairs.${pair.name}.paths`, path.links, 'A path must not use a link twice.')
    }
  }
}

/** Builds the value; throws ForestallError CONFIG_INVALID that names the field, its value and the cure. */
export function createNetwork(links: readonly LinkSpec[], pairs: readonly PairSpec[]): Network {
  checkLinks(links)
  checkPairs(pairs, links.length)
  const flat = pairs.flatMap((pair, k) => pair.paths.map((path, j) => ({ k, path, id: `${pair.name}#${j}` })))
  const paths = flat.length
  const firstPath = new Int32Array(pairs.length + 1)
  for (const [k, pair] of pairs.entries()) firstPath[k + 1] = firstPath[k]! + pair.paths.length
  const pathStart = new Int32Array(paths + 1)
  for (const [p, { path }] of flat.entries()) pathStart[p + 1] = pathStart[p]! + path.links.length
  const random = mulberry32(1)
  const hops = Float64Array.from(flat, ({ path }) => path.links.length)
  return {
    pairs: pairs.length,
    paths,
    links: links.length,
    pairNames: pairs.map((pair) => pair.name),
    linkNames: links.map((link) => link.name),
    pathIds: flat.map(({ id }) => id),
    regions: flat.map(({ path }) => path.region),
    firstPath,
    pairOf: Int32Array.from(flat, ({ k }) => k),
    pathStart,
    pathLinks: Int32Array.from(flat.flatMap(({ path }) => path.links)),
    capacity: Float64Array.from(links, (link) => link.capacity),
    hops,
    latencyMs: Float64Array.from(flat, ({ path }) =>
      path.links.reduce((sum, link) => sum + (links[link]?.latencyMs ?? 0), 0),
    ),
    tieBreak: hops.map((h) => h + 0.5 * random.uniform()),
  }
}

/** Adds nothing up twice: link utilisations (load / capacity) of `demand` under `splits`, into `out`. */
export function utilisation(
  network: Network,
  splits: Float64Array,
  demand: Float64Array,
  out: Float64Array,
): Float64Array {
  const { pathStart, pathLinks, pairOf, capacity } = network
  out.fill(0)
  for (let p = 0; p < network.paths; p++) {
    const share = splits[p]!
    if (share === 0) continue
    const flow = share * demand[pairOf[p]!]!
    const end = pathStart[p + 1]!
    for (let q = pathStart[p]!; q < end; q++) {
      const link = pathLinks[q]!
      out[link] = out[link]! + flow
    }
  }
  for (let e = 0; e < out.length; e++) out[e] = out[e]! / capacity[e]!
  return out
}

/** Maximum link utilisation of `demand` under `splits`. */
export function maxUtilisation(network: Network, splits: Float64Array, demand: Float64Array): number {
  const u = utilisation(network, splits, demand, new Float64Array(network.links))
  let max = 0
  for (let e = 0; e < u.length; e++) if (u[e]! > max) max = u[e]!
  return max
}

/** Equal shares over the candidate paths. */
export function uniformSplits(network: Network): Float64Array {
  const { firstPath, pairOf } = network
  return Float64Array.from(pairOf, (k) => 1 / (firstPath[k + 1]! - firstPath[k]!))
}

/** Everything on the default path. */
export function shortestSplits(network: Network): Float64Array {
  const splits = new Float64Array(network.paths)
  for (let k = 0; k < network.pairs; k++) splits[network.firstPath[k]!] = 1
  return splits
}

/** Clips at 0 and scales to sum 1 per pair, in place; a pair without any weight goes to its default path. */
export function normaliseSplits(network: Network, splits: Float64Array): Float64Array {
  for (let k = 0; k < network.pairs; k++) {
    const from = network.firstPath[k]!
    const end = network.firstPath[k + 1]!
    let sum = 0
    for (let p = from; p < end; p++) {
      splits[p] = Math.max(splits[p]!, 0)
      sum += splits[p]!
    }
    if (sum > 0) for (let p = from; p < end; p++) splits[p] = splits[p]! / sum
    else splits[from] = 1
  }
  return splits
}
