import type { Shard } from '#schemas'
import { hashSpace, MAX_DEPTH } from './ring.ts'

/** The shards of all streams as columns, stream by stream: what placement works on. */
export interface ShardColumns {
  readonly count: number
  /** Index of the stream (pair of the network). */
  readonly stream: Int32Array
  /** Share of the stream's traffic. */
  readonly share: Float64Array
  /** Share of the stream's ring; 0 for an entry of one flow. */
  readonly ring: Float64Array
  /** 0 first. */
  readonly priority: Int32Array
  /** Shards of stream k: first[k]..first[k + 1] - 1. */
  readonly first: Int32Array
}

/** `shardsByStream[k]`: the shards of stream k. */
export function shardColumns(
  shardsByStream: readonly (readonly Pick<Shard, 'depth' | 'share' | 'priority'>[])[],
): ShardColumns {
  const first = new Int32Array(shardsByStream.length + 1)
  for (const [k, shards] of shardsByStream.entries()) first[k + 1] = first[k]! + shards.length
  const flat = shardsByStream.flat()
  const stream = new Int32Array(flat.length)
  for (let k = 0; k < shardsByStream.length; k++) stream.fill(k, first[k], first[k + 1])
  return {
    count: flat.length,
    stream,
    share: Float64Array.from(flat, (shard) => shard.share),
    ring: Float64Array.from(flat, ({ depth }) => (depth > MAX_DEPTH ? 0 : hashSpace(depth))),
    priority: Int32Array.from(flat, (shard) => shard.priority),
    first,
  }
}
