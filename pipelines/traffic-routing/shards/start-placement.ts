import type { Network } from '../network.ts'
import { type PlacementGoal, regionSlots } from './placement-state.ts'
import type { ShardColumns } from './shard-columns.ts'

/**
 * Where a change of placement begins: every shard where it stands; new ones, and those on a path that may no longer be
 * used, on the path of their stream with the largest target - held; then the spread policies are made true.
 */
export function startPlacement(
  network: Network,
  shards: ShardColumns,
  goal: PlacementGoal,
  standing: Int32Array,
): Int32Array {
  const path = standing.slice()
  const slots = regionSlots(network)
  const held = new Float64Array(network.paths)
  for (let k = 0; k < network.pairs; k++) {
    const homeless: number[] = []
    for (let s = shards.first[k]!; s < shards.first[k + 1]!; s++) {
      const p = path[s]!
      if (p < 0 || goal.usable[p] === 0) homeless.push(s)
      else held[p] = held[p]! + shards.share[s]!
    }
    homeless.sort((a, b) => shards.share[b]! - shards.share[a]! || a - b)
    for (const s of homeless) {
      path[s] = emptiest(network, goal, k, held, () => true)
      held[path[s]] = held[path[s]]! + shards.share[s]!
    }
    if (goal.regionLimit[k]! < 1) deal(network, shards, goal, slots, k, path, held)
  }
  return path
}

/** The usable path of stream k with the largest target - held that `fits`; its default path if none does. */
function emptiest(
  network: Network,
  goal: PlacementGoal,
  k: number,
  held: Float64Array,
  fits: (p: number) => boolean,
): number {
  let best = -1
  for (let p = network.firstPath[k]!; p < network.firstPath[k + 1]!; p++) {
    if (goal.usable[p] === 0 || !fits(p)) continue
    if (best < 0 || goal.targets[p]! - held[p]! > goal.targets[best]! - held[best]!) best = p
  }
  return best < 0 ? network.firstPath[k]! : best
}

/**
 * Deals the ring of stream k to its regions, the largest pieces first, each left where it is if its region has room.
 * Pieces are powers of two and the limit is a multiple of the largest, so that whatever room is left always fits the next.
 */
function deal(
  network: Network,
  shards: ShardColumns,
  goal: PlacementGoal,
  slots: Int32Array,
  k: number,
  path: Int32Array,
  held: Float64Array,
): void {
  const limit = goal.regionLimit[k]! + 1e-12
  const ring = new Float64Array(network.paths)
  const order: number[] = []
  for (let s = shards.first[k]!; s < shards.first[k + 1]!; s++) order.push(s)
  order.sort((a, b) => shards.ring[b]! - shards.ring[a]! || shards.share[b]! - shards.share[a]! || a - b)
  for (const s of order) {
    const room = (p: number) => ring[slots[p]!]! + shards.ring[s]! <= limit
    const p = path[s]!
    if (!room(p)) {
      path[s] = emptiest(network, goal, k, held, room)
      held[p] = held[p]! - shards.share[s]!
      held[path[s]] = held[path[s]]! + shards.share[s]!
    }
    const slot = slots[path[s]!]!
    ring[slot] = ring[slot]! + shards.ring[s]!
  }
}
