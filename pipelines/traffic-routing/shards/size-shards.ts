import { ForestallError } from '#core/ports'
import type { Shard } from '#schemas'
import { checkShardPolicies, minDepth, type ShardPolicies } from './policies.ts'
import { ancestorPrefix, FLOW_DEPTH, LEAVES, MAX_DEPTH, prefixOf, shardId } from './ring.ts'
import type { HeavyFlow, ShareTree } from './share-histogram.ts'

/** What the cut of one stream rests on. */
export interface SizeShardsInput {
  readonly stream: string
  /** Observed share of the stream per prefix. */
  readonly shareByPrefix: ShareTree
  /** The stream's share of all traffic (of the quantile planned for), 0..1. */
  readonly streamBytesShare: number
  /** Risk of the stream, 0..1: lowers the cap to cap x (1 - riskShrink x risk). */
  readonly risk: number
  readonly policies: ShardPolicies
  /** The shards that stand; halves of the past are joined only with hysteresis. */
  readonly standing?: readonly Shard[]
  /** Flows known to be heavy: one above the cap cannot be split and gets an entry of its own. */
  readonly heavyFlows?: readonly HeavyFlow[]
}

/**
 * Cuts the ring of a stream into shards: every prefix heavier than the cap is halved, down to 12 bits.
 *
 * A node is cut iff key > cap, where key = share, or share / mergeBelow if it is cut at present. Keys do not depend on
 * the risk and fall from parent to child, so a rise in risk only adds cuts: shards of a higher risk nest in those of a
 * lower one, also at the limit on their number (the largest keys are cut first). What comes back is sorted along the
 * ring and covers it once; entries for elephants (depth 32, one flow each) follow and take precedence over the prefix
 * they lie in, whose share is given without them. Throws CONFIG_INVALID, POLICY_CONTRADICTS or RECORD_INVALID.
 */
export function sizeShards(input: SizeShardsInput): Shard[] {
  const { stream, policies, streamBytesShare, risk } = input
  checkShardPolicies(stream, policies)
  if (!(risk >= 0 && risk <= 1) || !(streamBytesShare >= 0 && streamBytesShare <= 1))
    throw new ForestallError(
      'RECORD_INVALID',
      `shards.${stream}: risk ${risk}, streamBytesShare ${streamBytesShare}`,
      {
        cure: 'Give both as numbers from 0 to 1.',
      },
    )
  const cap = streamCap(policies, risk, streamBytesShare)
  const cut = chooseCuts(input, cap)
  const shards: Shard[] = []
  const emit = (node: number, depth: number) => {
    if (cut[node] === 1) {
      emit(2 * node, depth + 1)
      emit(2 * node + 1, depth + 1)
    } else shards.push(toShard(input, depth, node - 2 ** depth, input.shareByPrefix[node]!))
  }
  emit(1, 0)
  return withElephants(input, shards, cap)
}

/**
 * Cuts several streams so that all their shards together are at most `maxTotal`: if the configured caps give more, all
 * caps are raised by the same factor, the smallest that suffices (within 1 %). Within a call, and as long as the factor
 * stands, shards of a higher risk still nest. Throws POLICY_CONTRADICTS if the policies alone ask for more.
 */
export function sizeAllShards(inputs: readonly SizeShardsInput[], maxTotal: number): Shard[][] {
  const sized = (factor: number) =>
    inputs.map((input) =>
      sizeShards({ ...input, policies: { ...input.policies, cap: input.policies.cap * factor } }),
    )
  const count = (shards: readonly Shard[][]) => shards.reduce((sum, list) => sum + list.length, 0)
  const configured = sized(1)
  if (count(configured) <= maxTotal) return configured
  const fewest = inputs.reduce((sum, { policies }) => sum + 2 ** minDepth(policies), 0)
  if (fewest > maxTotal)
    throw new ForestallError(
      'POLICY_CONTRADICTS',
      `shards.maxTotal = ${maxTotal}: the streams need ${fewest} shards`,
      {
        cure: `Set maxTotal to ${fewest} or more, or lower criticalMinDepth or minRegions.`,
      },
    )
  let low = 1
  let high = 2
  while (count(sized(high)) > maxTotal) high *= 2
  while (high / low > 1.01) {
    const middle = Math.sqrt(low * high)
    if (count(sized(middle)) > maxTotal) low = middle
    else high = middle
  }
  return sized(high)
}

/** Largest share of the stream that one shard may carry: the cap on all traffic, lowered by the risk. */
function streamCap(policies: ShardPolicies, risk: number, streamBytesShare: number): number {
  return (policies.cap * (1 - policies.riskShrink * risk)) / streamBytesShare
}

function toShard(input: SizeShardsInput, depth: number, prefix: number, share: number): Shard {
  const { stream, policies } = input
  return {
    shard_id: shardId(stream, depth, prefix),
    depth,
    prefix,
    share,
    priority: policies.critical ? 0 : policies.priority,
    critical: policies.critical,
    min_regions: policies.minRegions,
  }
}

/** Trie nodes that are cut at present: every node above a standing shard. */
function standingCuts(standing: readonly Shard[]): Uint8Array {
  const cut = new Uint8Array(LEAVES)
  for (const { depth, prefix } of standing)
    if (depth <= MAX_DEPTH)
      for (let node = (2 ** depth + prefix) >>> 1; node > 0 && cut[node] === 0; node >>>= 1) cut[node] = 1
  return cut
}

/** 1 for every node that is halved. */
function chooseCuts(input: SizeShardsInput, cap: number): Uint8Array {
  const { policies, shareByPrefix } = input
  const forcedDepth = minDepth(policies)
  const standing = standingCuts(input.standing ?? [])
  const chosen: { node: number; key: number }[] = []
  const visit = (node: number, depth: number) => {
    if (depth === MAX_DEPTH) return
    const share = shareByPrefix[node]!
    const key = depth < forcedDepth ? Infinity : standing[node] === 1 ? share / policies.mergeBelow : share
    if (!(key > cap) && key !== Infinity) return
    chosen.push({ node, key })
    visit(2 * node, depth + 1)
    visit(2 * node + 1, depth + 1)
  }
  visit(1, 0)
  if (chosen.length > policies.maxShards - 1) {
    chosen.sort((a, b) => (a.key === b.key ? a.node - b.node : b.key - a.key))
    chosen.length = policies.maxShards - 1
  }
  const cut = new Uint8Array(2 * LEAVES)
  for (const { node } of chosen) cut[node] = 1
  return cut
}

/** Adds an entry per flow above the cap (a standing one with hysteresis) and takes its share off the shard around it. */
function withElephants(input: SizeShardsInput, shards: readonly Shard[], cap: number): Shard[] {
  const standing = new Set(
    (input.standing ?? []).filter(({ depth }) => depth === FLOW_DEPTH).map(({ prefix }) => prefix),
  )
  const keep = cap * input.policies.mergeBelow
  const elephants = (input.heavyFlows ?? []).filter(
    ({ hash, share }) => share > (standing.has(hash) ? keep : cap),
  )
  if (elephants.length === 0) return [...shards]
  const rest = shards.map((shard) => {
    const inside = elephants.filter((flow) => prefixOf(flow.hash, shard.depth) === shard.prefix)
    const share = inside.reduce((left, flow) => left - flow.share, shard.share)
    return inside.length === 0 ? shard : { ...shard, share: Math.max(0, share) }
  })
  return [...rest, ...elephants.map((flow) => toShard(input, FLOW_DEPTH, flow.hash, flow.share))]
}

/** An entry of the standing placement: a prefix and where it lies. */
export interface Placed<Path> {
  readonly depth: number
  readonly prefix: number
  readonly path: Path
}

/**
 * Where each shard lies before anything is moved: its own place, else that of the shard it was cut from (a cut moves
 * nothing), else, for joined halves, the place that holds most of their ring; undefined if nothing stood there.
 */
export function carryPlacement<Path>(
  standing: readonly Placed<Path>[],
  shards: readonly Shard[],
): (Path | undefined)[] {
  const key = (depth: number, prefix: number) => depth * 2 ** 33 + prefix
  const byPrefix = new Map(standing.map(({ depth, prefix, path }) => [key(depth, prefix), path]))
  return shards.map(({ depth, prefix }) => {
    const own = byPrefix.get(key(depth, prefix))
    if (own !== undefined) return own
    for (let above = Math.min(depth, MAX_DEPTH); above >= 0; above--) {
      const path = byPrefix.get(key(above, ancestorPrefix(prefix, depth, above)))
      if (path !== undefined) return path
    }
    return largestWithin(standing, depth, prefix)
  })
}

function largestWithin<Path>(
  standing: readonly Placed<Path>[],
  depth: number,
  prefix: number,
): Path | undefined {
  const held = new Map<Path, number>()
  for (const entry of standing)
    if (entry.depth > depth && ancestorPrefix(entry.prefix, entry.depth, depth) === prefix)
      held.set(entry.path, (held.get(entry.path) ?? 0) + 2 ** -entry.depth)
  let best: Path | undefined
  for (const [path, space] of held) if (best === undefined || space > held.get(best)!) best = path
  return best
}
