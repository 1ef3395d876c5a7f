import type { Network } from '../network.ts'
import { PlacementState, type PlacementGoal } from './placement-state.ts'
import { promote } from './promote.ts'
import { repair, undoNeedless } from './repair.ts'
import type { ShardColumns } from './shard-columns.ts'
import { startPlacement } from './start-placement.ts'
import { createSwaps } from './swaps.ts'

/** What a placement is to reach. */
export interface PlacementInput {
  readonly shards: ShardColumns
  /** The plan: weight per path, sums to 1 per stream. */
  readonly targets: Float64Array
  /** Demand per stream that the plan was made for, unit of the capacities. */
  readonly demand: Float64Array
  /** Path per shard, -1 if new; absent: nothing stands. */
  readonly standing?: Int32Array
  /** Largest share of a stream's ring on one region (see `maxRegionShare`); absent: no spread policy. */
  readonly regionLimit?: Float64Array
  /** 1 per path that may be used; absent: all. */
  readonly usable?: Uint8Array
  /** Latency per path as forecast, ms; absent: propagation only. */
  readonly latencyMs?: Float64Array
}

/** How hard the placement follows the plan, and at what price. */
export interface PlacementSettings {
  /** How far above the plan's highest utilisation a link may go, as a part of it. */
  readonly tolerance: number
  /** A link may always carry this utilisation, whatever the plan put on it. Below it, deviations do not matter. */
  readonly comfort: number
  /** Weight of the ring (number of flows) in the cost of a move, 0..1; the rest is traffic. */
  readonly ringWeight: number
  /** A shard goes to a faster path from this gain on, ms. */
  readonly minGainMs: number
  /** Share of all traffic that may be moved per placement only to gain latency; 0: never. */
  readonly promotionBudget: number
}

/** Defaults: what the evaluation runs with. */
export const DEFAULT_PLACEMENT: PlacementSettings = {
  tolerance: 0.002,
  comfort: 0,
  ringWeight: 0.5,
  minGainMs: 5,
  promotionBudget: 0.002,
}

/** A placement of all shards. */
export interface Placement {
  /** Path per shard. */
  readonly path: Int32Array
  /** Shards that changed their path (new ones not counted). */
  readonly moves: number
  /** Share of all traffic moved, by bytes, and by flows (ring); 0..1. */
  readonly movedTraffic: number
  readonly movedRing: number
  /** Links above their limit after all; the largest excess as a part of the limit. */
  readonly overloadedLinks: number
  readonly worstExcess: number
}

/** Places the shards of all streams of one network jointly. */
export interface Placer {
  place(input: PlacementInput): Placement
}

/**
 * Sticky and joint: a deviation from the plan is mended only where it takes a link above its limit, which is the
 * plan's own highest utilisation (or `comfort`) plus a tolerance; then needless moves are taken back and critical
 * shards get the faster paths. Pure: equal inputs give equal placements. Time is bounded by the number of shards.
 */
export function createPlacer(network: Network, settings: Partial<PlacementSettings> = {}): Placer {
  const swaps = createSwaps(network)
  const options: PlacementSettings = { ...DEFAULT_PLACEMENT, ...settings }
  return {
    place: (input) => {
      const goal = toGoal(network, input, options)
      const standing = input.standing ?? new Int32Array(input.shards.count).fill(-1)
      const start = startPlacement(network, input.shards, goal, standing)
      const state = new PlacementState(network, swaps, input.shards, goal, standing, start)
      repair(state)
      undoNeedless(state)
      if (options.promotionBudget > 0)
        promote(state, {
          latencyMs: input.latencyMs ?? network.latencyMs,
          minGainMs: options.minGainMs,
          budget: options.promotionBudget,
        })
      return toPlacement(state)
    },
  }
}

function toGoal(network: Network, input: PlacementInput, settings: PlacementSettings): PlacementGoal {
  const { demand, targets } = input
  const load = new Float64Array(network.links)
  for (let p = 0; p < network.paths; p++) {
    const flow = targets[p]! * demand[network.pairOf[p]!]!
    for (let i = network.pathStart[p]!; i < network.pathStart[p + 1]!; i++) {
      const e = network.pathLinks[i]!
      load[e] = load[e]! + flow
    }
  }
  let highest = settings.comfort
  for (let e = 0; e < load.length; e++) highest = Math.max(highest, load[e]! / network.capacity[e]!)
  const limit = highest * (1 + settings.tolerance)
  return {
    demand,
    targets,
    linkLimit: network.capacity.map((capacity) => capacity * limit),
    regionLimit: input.regionLimit ?? new Float64Array(network.pairs).fill(1),
    usable: input.usable ?? new Uint8Array(network.paths).fill(1),
    ringWeight: settings.ringWeight,
  }
}

function toPlacement(state: PlacementState): Placement {
  const { path, standing, shards, goal, load } = state
  const total = goal.demand.reduce((sum, d) => sum + d, 0) || 1
  let moves = 0
  let movedTraffic = 0
  let movedRing = 0
  for (let s = 0; s < path.length; s++) {
    if (standing[s]! < 0 || standing[s] === path[s]) continue
    moves++
    movedTraffic += state.traffic[s]! / total
    movedRing += (goal.demand[shards.stream[s]!]! * shards.ring[s]!) / total
  }
  let overloadedLinks = 0
  let worstExcess = 0
  for (let e = 0; e < load.length; e++) {
    const excess = load[e]! / Math.max(goal.linkLimit[e]!, Number.MIN_VALUE) - 1
    if (excess > 1e-9) overloadedLinks++
    worstExcess = Math.max(worstExcess, excess)
  }
  return { path, moves, movedTraffic, movedRing, overloadedLinks, worstExcess }
}
