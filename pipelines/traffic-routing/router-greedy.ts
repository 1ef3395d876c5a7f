import { type Network, normaliseSplits } from './network.ts'

/** Parts each pair's demand is cut into. */
const PARTS = 8

/** Highest utilisation on path p if `flow` more were sent over it. */
function pathPeak(network: Network, p: number, load: Float64Array, flow: number): number {
  let peak = 0
  for (let q = network.pathStart[p]!; q < network.pathStart[p + 1]!; q++) {
    const link = network.pathLinks[q]!
    peak = Math.max(peak, (load[link]! + flow) / network.capacity[link]!)
  }
  return peak
}

/** Cost of sending a part over p: latency, and steeply more once its busiest link passes 70 %. */
function pathCost(network: Network, p: number, load: Float64Array, flow: number): number {
  const peak = pathPeak(network, p, load, flow)
  return network.latencyMs[p]! + 1e-3 * network.tieBreak[p]! + 1000 * Math.max(0, peak - 0.7)
}

/**
 * A plan without a solver, for when it is late: largest demands first, each in 8 parts, every part to the path that is
 * cheapest at the load so far. Always feasible (splits sum to 1 per pair); well under a millisecond.
 */
export function greedySplits(network: Network, demand: Float64Array): Float64Array {
  const load = new Float64Array(network.links)
  const splits = new Float64Array(network.paths)
  const order = Array.from(demand.keys()).sort((a, b) => demand[b]! - demand[a]! || a - b)
  for (const k of order) {
    const flow = demand[k]! / PARTS
    for (let part = 0; part < PARTS; part++) {
      let best = network.firstPath[k]!
      let cost = Infinity
      for (let p = best; p < network.firstPath[k + 1]!; p++) {
        const candidate = pathCost(network, p, load, flow)
        if (candidate < cost) {
          cost = candidate
          best = p
        }
      }
      splits[best] = splits[best]! + 1 / PARTS
      for (let q = network.pathStart[best]!; q < network.pathStart[best + 1]!; q++) {
        const link = network.pathLinks[q]!
        load[link] = load[link]! + flow
      }
    }
  }
  return normaliseSplits(network, splits)
}
