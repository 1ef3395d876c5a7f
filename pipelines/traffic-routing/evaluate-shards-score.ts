import { mean, nearestRank, sorted } from '#core/evaluation'
import { maxUtilisation, type Network } from './network.ts'
import { placeFromScratch, placeStickily, type ShardColumns } from './shards/index.ts'

/** What every row of the table shares. */
export interface Scored {
  readonly network: Network
  readonly demands: readonly Float64Array[]
  /** LP(d) of the scored demands: the targets of the page. */
  readonly plans: readonly Goal[]
  /** LP(d) of the demand before each: what could have been known. */
  readonly lagged: readonly Goal[]
  /** Utilisation that the plan of the same demand reaches. */
  readonly best: Float64Array
  /** Share of each stream in the summed p90 of training. */
  readonly share: Float64Array
}

/** A plan, and the demand it was made for. */
export interface Goal {
  readonly targets: Float64Array
  readonly demand: Float64Array
}

/** Next placement from the standing one (undefined at the first interval). */
export type Step = (goal: Goal, standing: Int32Array | undefined) => Int32Array

/** Means over the steps of one way to place, towards one plan per scored demand. */
export function run(
  scored: Scored,
  shards: ShardColumns,
  step: Step,
  goals = scored.plans,
): Record<string, number> {
  const { network, demands, best } = scored
  const ratios: number[] = []
  const moved = { ring: [] as number[], bytes: [] as number[] }
  const latency = { all: [] as number[], critical: [] as number[] }
  const elapsed: number[] = []
  let standing: Int32Array | undefined
  for (const [j, demand] of demands.entries()) {
    const began = performance.now()
    const path = step(goals[j]!, standing)
    elapsed.push(performance.now() - began)
    const splits = toSplits(network, shards, path)
    ratios.push(maxUtilisation(network, splits, demand) / best[j]!)
    latency.all.push(latencyMs(network, splits, demand, () => true))
    latency.critical.push(latencyMs(network, splits, demand, isCritical))
    if (standing !== undefined) {
      moved.ring.push(movedShare(shards, demand, standing, path, shards.ring))
      moved.bytes.push(movedShare(shards, demand, standing, path, shards.share))
    }
    standing = path
  }
  return {
    mean: mean(ratios),
    p99: nearestRank(sorted(ratios), 0.99),
    moved: 100 * mean(moved.ring),
    movedBytes: 100 * mean(moved.bytes),
    latency: mean(latency.all),
    criticalLatency: mean(latency.critical),
    stepMs: nearestRank(sorted(elapsed), 0.99),
  }
}

/** Every tenth stream is critical. */
export const isCritical = (stream: number): boolean => stream % 10 === 0

function toSplits(network: Network, shards: ShardColumns, path: Int32Array): Float64Array {
  const splits = new Float64Array(network.paths)
  for (let s = 0; s < shards.count; s++) splits[path[s]!]! += shards.share[s]!
  return splits
}

/** Demand-weighted propagation over the streams that `counts`. */
function latencyMs(
  network: Network,
  splits: Float64Array,
  demand: Float64Array,
  counts: (k: number) => boolean,
): number {
  let sum = 0
  let total = 0
  for (let p = 0; p < network.paths; p++) {
    const stream = network.pairOf[p]!
    if (!counts(stream)) continue
    sum += splits[p]! * demand[stream]! * network.latencyMs[p]!
    total += splits[p]! * demand[stream]!
  }
  return sum / total
}

function movedShare(
  shards: ShardColumns,
  demand: Float64Array,
  before: Int32Array,
  after: Int32Array,
  size: Float64Array,
): number {
  let moved = 0
  for (let s = 0; s < shards.count; s++)
    if (before[s] !== after[s]) moved += demand[shards.stream[s]!]! * size[s]!
  return moved / demand.reduce((sum, d) => sum + d, 0)
}

/** Traffic that the plans themselves move from one scored demand to the next, %. */
export function fractionalChurn({ network, demands, plans }: Scored): number {
  const churn: number[] = []
  for (let j = 1; j < plans.length; j++) {
    const total = demands[j]!.reduce((sum, d) => sum + d, 0)
    let moved = 0
    for (let p = 0; p < network.paths; p++)
      moved += Math.abs(plans[j]!.targets[p]! - plans[j - 1]!.targets[p]!) * demands[j]![network.pairOf[p]!]!
    churn.push(moved / 2 / total)
  }
  return 100 * mean(churn)
}

/** Every stream by itself: sticky, or from scratch if nothing stands. */
export function eachStream(
  network: Network,
  shards: ShardColumns,
  targets: Float64Array,
  standing?: Int32Array,
): Int32Array {
  const path = standing?.slice() ?? new Int32Array(shards.count)
  for (let k = 0; k < network.pairs; k++)
    if (standing === undefined) placeFromScratch(network, shards, targets, k, path)
    else placeStickily(network, shards, targets, k, path)
  return path
}
