import type { Random } from '#core/ports'
import { createShareHistogram, type ShareTree } from '../../pipelines/traffic-routing/shards/index.ts'

/** Shares of a stream of 4,096 flows, weight rank^-1.1, hashes drawn from `random`. */
export function shareTree(random: Random): ShareTree {
  const histogram = createShareHistogram()
  for (let rank = 1; rank <= 4096; rank++) histogram.add(random.uint32(), rank ** -1.1)
  return histogram.tree()
}
