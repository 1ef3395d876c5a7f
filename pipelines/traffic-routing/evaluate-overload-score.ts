import { type Column, mean, type Metrics, nearestRank, sorted, weightedQuantile } from '#core/evaluation'
import { type Network, utilisation } from './network.ts'

/** Minutes per interval. */
const INTERVAL_MIN = 5
/** Queueing delay of a link at its worst, ms. */
const QUEUE_MAX_MS = 50

/** The columns of part 2 of the protocol. */
export const OVERLOAD_COLUMNS: readonly Column[] = [
  { key: 'linkOverloadMin', heading: 'link overload min', decimals: 0 },
  { key: 'minutesWithAny', heading: 'minutes with any', decimals: 0 },
  { key: 'overCapacityPercent', heading: 'over capacity %', decimals: 4 },
  { key: 'addedLatencyMeanMs', heading: 'added latency mean ms', decimals: 3 },
  { key: 'p99Ms', heading: 'p99 ms', decimals: 2 },
  { key: 'churnPercent', heading: 'churn %', decimals: 3 },
  { key: 'p99Utilisation', heading: 'p99 utilisation', decimals: 3 },
  { key: 'maxUtilisation', heading: 'max utilisation', decimals: 3 },
]

/** Queueing delay of a link at utilisation u, ms: min(50, 0.1 u / (1 - u)). */
const queueMs = (u: number) =>
  u < 1 ? Math.min(QUEUE_MAX_MS, (0.1 * u) / Math.max(1 - u, 1e-12)) : QUEUE_MAX_MS

/** Adds up what happens to the traffic interval by interval. */
export interface OverloadScore {
  /** One interval: the splits in force and the demand that came. */
  add(splits: Float64Array, demand: Float64Array): void
  metrics(): Metrics
}

/** See {@link OverloadScore}. */
export function createOverloadScore(network: Network): OverloadScore {
  const { paths, links, pairOf, pathStart, pathLinks, capacity, latencyMs, firstPath } = network
  const shortest = Float64Array.from(pairOf, (k) => latencyMs[firstPath[k]!]!)
  const u = new Float64Array(links)
  const queue = new Float64Array(links)
  const latencies: number[] = []
  const weights: number[] = []
  const worst: number[] = []
  const churn: number[] = []
  let overloaded = 0
  let withAny = 0
  let excess = 0
  let offered = 0
  let previous: Float64Array | undefined

  const countOverload = () => {
    let any = false
    let max = 0
    for (let e = 0; e < links; e++) {
      queue[e] = queueMs(u[e]!)
      max = Math.max(max, u[e]!)
      if (u[e]! <= 1) continue
      any = true
      overloaded++
      excess += (u[e]! - 1) * capacity[e]!
    }
    if (any) withAny++
    worst.push(max)
  }
  const countLatency = (splits: Float64Array, demand: Float64Array) => {
    for (let p = 0; p < paths; p++) {
      const flow = splits[p]! * demand[pairOf[p]!]!
      if (flow <= 0) continue
      let added = latencyMs[p]! - shortest[p]!
      for (let q = pathStart[p]!; q < pathStart[p + 1]!; q++) added += queue[pathLinks[q]!]!
      latencies.push(added)
      weights.push(flow)
    }
  }
  const countChurn = (splits: Float64Array, demand: Float64Array, total: number) => {
    if (previous !== undefined) {
      let moved = 0
      for (let p = 0; p < paths; p++) moved += Math.abs(splits[p]! - previous[p]!) * demand[pairOf[p]!]!
      churn.push((0.5 * moved) / total)
    }
    previous = splits
  }
  return {
    add: (splits, demand) => {
      const total = demand.reduce((sum, d) => sum + d, 0)
      offered += total
      utilisation(network, splits, demand, u)
      countOverload()
      countLatency(splits, demand)
      countChurn(splits, demand, total)
    },
    metrics: () => {
      const values = Float64Array.from(latencies)
      const mass = Float64Array.from(weights)
      const total = mass.reduce((sum, w) => sum + w, 0)
      return {
        linkOverloadMin: INTERVAL_MIN * overloaded,
        minutesWithAny: INTERVAL_MIN * withAny,
        overCapacityPercent: (100 * excess) / offered,
        addedLatencyMeanMs: values.reduce((sum, v, i) => sum + v * mass[i]!, 0) / total,
        p99Ms: weightedQuantile(values, mass, 0.99),
        churnPercent: churn.length === 0 ? 0 : 100 * mean(churn),
        p99Utilisation: nearestRank(sorted(worst), 0.99),
        maxUtilisation: sorted(worst).at(-1)!,
      }
    },
  }
}
