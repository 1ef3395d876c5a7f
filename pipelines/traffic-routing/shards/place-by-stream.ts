import type { Network } from '../network.ts'
import type { ShardColumns } from './shard-columns.ts'

/** Order of a stream's shards by falling share; equal shares keep their order. */
function byShare(shards: ShardColumns, from: number, end: number): Int32Array {
  const order = Int32Array.from({ length: end - from }, (_, i) => from + i)
  return order.sort((a, b) => shards.share[b]! - shards.share[a]! || a - b)
}

/**
 * From scratch, stream by stream: shards by falling share, each to the path with the largest target - held.
 * Needs no network state, moves much. The plan of a stream that has never been placed, and a baseline.
 */
export function placeFromScratch(
  network: Network,
  shards: ShardColumns,
  targets: Float64Array,
  stream: number,
  path: Int32Array,
): void {
  const first = network.firstPath[stream]!
  const left = targets.slice(first, network.firstPath[stream + 1])
  for (const s of byShare(shards, shards.first[stream]!, shards.first[stream + 1]!)) {
    const best = indexOfMax(left)
    path[s] = first + best
    left[best] = left[best]! - shards.share[s]!
  }
}

/**
 * Sticky, stream by stream (the baseline of the evaluation page): while some path holds over `tolerance` too much and
 * another too little, the largest shard on the fullest path of share <= 1.5 x the smaller of both goes to the emptiest.
 */
export function placeStickily(
  network: Network,
  shards: ShardColumns,
  targets: Float64Array,
  stream: number,
  path: Int32Array,
  tolerance = 0.01,
): void {
  const first = network.firstPath[stream]!
  const over = targets.slice(first, network.firstPath[stream + 1]).map((target) => -target)
  const from = shards.first[stream]!
  const end = shards.first[stream + 1]!
  for (let s = from; s < end; s++) over[path[s]! - first] = over[path[s]! - first]! + shards.share[s]!
  const order = byShare(shards, from, end)
  for (let round = 0; round < 4 * (end - from); round++) {
    const source = indexOfMax(over)
    const target = indexOfMax(over.map((x) => -x))
    const limit = Math.min(over[source]!, -over[target]!)
    if (limit <= tolerance) return
    const moved = order.find(
      (s) => path[s] === first + source && shards.share[s]! > 0 && shards.share[s]! <= 1.5 * limit,
    )
    if (moved === undefined) return
    path[moved] = first + target
    over[source] = over[source]! - shards.share[moved]!
    over[target] = over[target]! + shards.share[moved]!
  }
}

function indexOfMax(values: Float64Array): number {
  let best = 0
  for (let i = 1; i < values.length; i++) if (values[i]! > values[best]!) best = i
  return best
}
