import { ForestallError } from '#core/ports'
import { LEAVES, MAX_DEPTH, prefixOf } from './ring.ts'

/** Share of the stream's bytes per trie node, heap numbered (2^depth + prefix); the root holds 1. Length 8,192. */
export type ShareTree = Float64Array

/** A flow that carries much of its stream. */
export interface HeavyFlow {
  /** Its place on the ring, 0..2^32-1. */
  readonly hash: number
  /** Share of the stream's bytes that it carries at least, 0..1. */
  readonly share: number
}

/** What a histogram hands on: bins of equal width over the ring, and the heavy flows with their bytes. */
export interface ShareSketch {
  /** Bytes per bin; the length is a power of two, at most 4,096. */
  readonly bins: ArrayLike<number>
  readonly heavy: readonly { readonly hash: number; readonly bytes: number }[]
}

/**
 * Learns where on the ring the bytes of one stream lie, with exponential forgetting.
 * Memory: 8 bytes per bin and 20 per heavy flow kept.
 */
export interface ShareHistogram {
  /** Counts `bytes` of the flow with this hash. Allocates nothing. */
  add(hash32: number, bytes: number): void
  /** Counts what another histogram saw; throws RECORD_INVALID if its bins do not fit. */
  merge(sketch: ShareSketch): void
  /** Forgets: everything counted so far weighs `factor` (0 < factor <= 1) of what it did. */
  decay(factor: number): void
  /** Bytes that still count. */
  readonly bytes: number
  /** Share of the stream under a prefix, 0..1; without any bytes, the share of the ring. */
  share(depth: number, prefix: number): number
  /** All shares at once; below the resolution of the bins they are spread evenly. */
  tree(): ShareTree
  /** Flows that carry at least `minShare` of the stream, largest first. */
  heavy(minShare: number): HeavyFlow[]
  /** For a record: what `merge` takes. */
  sketch(): ShareSketch
}

/** Below this scale the stored numbers are brought back to 1, long before they lose digits. */
const SMALLEST_SCALE = 1e-100

/** Space-saving (Metwally et al. 2005): at most `size` flows, each with an upper bound and its possible excess. */
class HeavyFlows {
  readonly hash: Float64Array
  readonly upper: Float64Array
  readonly excess: Float64Array

  constructor(size: number) {
    this.hash = new Float64Array(size).fill(-1)
    this.upper = new Float64Array(size)
    this.excess = new Float64Array(size)
  }

  add(hash: number, weight: number): void {
    const { hash: hashes, upper, excess } = this
    let least = 0
    for (let i = 0; i < hashes.length; i++) {
      if (hashes[i] === hash) {
        upper[i] = upper[i]! + weight
        return
      }
      if (upper[i]! < upper[least]!) least = i
    }
    excess[least] = upper[least]!
    upper[least] = upper[least]! + weight
    hashes[least] = hash
  }

  scale(factor: number): void {
    for (let i = 0; i < this.upper.length; i++) {
      this.upper[i] = this.upper[i]! * factor
      this.excess[i] = this.excess[i]! * factor
    }
  }
}

/** Halves summed into their parents. `leaves` is spread over the nodes of the deepest level; all even without bytes. */
function toTree(leaves: Float64Array, total: number): ShareTree {
  const tree = new Float64Array(2 * LEAVES)
  const perBin = LEAVES / leaves.length
  for (let leaf = 0; leaf < LEAVES; leaf++)
    tree[LEAVES + leaf] = total > 0 ? leaves[Math.floor(leaf / perBin)]! / total / perBin : 1 / LEAVES
  for (let node = LEAVES - 1; node > 0; node--) tree[node] = tree[2 * node]! + tree[2 * node + 1]!
  return tree
}

/**
 * `bits`: resolution of the bins (1..12, default 12 = 32 kB); `heavyFlows`: how many flows are watched (default 8:
 * every flow above 1/8 of the stream is found). Throws CONFIG_INVALID.
 */
export function createShareHistogram(options: { bits?: number; heavyFlows?: number } = {}): ShareHistogram {
  const bits = options.bits ?? MAX_DEPTH
  if (!(Number.isInteger(bits) && bits >= 1 && bits <= MAX_DEPTH))
    throw new ForestallError('CONFIG_INVALID', `shares.bits = ${bits}`, { cure: 'Set 1 to 12 bits.' })
  const bins = new Float64Array(1 << bits)
  const flows = new HeavyFlows(options.heavyFlows ?? 8)
  let total = 0
  let scale = 1
  const rescale = () => {
    for (let i = 0; i < bins.length; i++) bins[i] = bins[i]! * scale
    flows.scale(scale)
    total *= scale
    scale = 1
  }
  const count = (bin: number, weight: number) => {
    bins[bin] = bins[bin]! + weight
    total += weight
  }
  return {
    add: (hash32, bytes) => {
      if (!(bytes > 0)) return
      count(prefixOf(hash32, bits), bytes / scale)
      flows.add(hash32 >>> 0, bytes / scale)
    },
    merge: (sketch) =>
      mergeInto(
        sketch,
        bits,
        (bin, bytes) => count(bin, bytes / scale),
        (hash, bytes) => flows.add(hash, bytes / scale),
      ),
    decay: (factor) => {
      if (!(factor > 0 && factor <= 1))
        throw new ForestallError('CONFIG_INVALID', `shares.decay = ${factor}`, {
          cure: 'Set a factor above 0, at most 1.',
        })
      scale *= factor
      if (scale < SMALLEST_SCALE) rescale()
    },
    get bytes() {
      return total * scale
    },
    share: (depth, prefix) => shareOf(bins, bits, total, depth, prefix),
    tree: () => toTree(bins, total),
    heavy: (minShare) => heavyOf(flows, total, minShare),
    sketch: () => ({
      bins: bins.map((weight) => weight * scale),
      heavy: heavyOf(flows, total, 0).map(({ hash, share }) => ({ hash, bytes: share * total * scale })),
    }),
  }
}

function mergeInto(
  sketch: ShareSketch,
  bits: number,
  count: (bin: number, bytes: number) => void,
  addFlow: (hash: number, bytes: number) => void,
): void {
  const { bins, heavy } = sketch
  const level = Math.log2(bins.length)
  if (!Number.isInteger(level) || level > MAX_DEPTH)
    throw new ForestallError('RECORD_INVALID', `hash bins: ${bins.length}`, {
      cure: 'Send 2 to 4,096 bins, a power of two.',
    })
  for (let i = 0; i < bins.length; i++) {
    const bytes = bins[i]!
    if (!(bytes > 0)) continue
    if (level >= bits) count(i >>> (level - bits), bytes)
    else
      for (let part = 0; part < 1 << (bits - level); part++)
        count((i << (bits - level)) + part, bytes / 2 ** (bits - level))
  }
  for (const { hash, bytes } of heavy) addFlow(hash >>> 0, bytes)
}

function shareOf(bins: Float64Array, bits: number, total: number, depth: number, prefix: number): number {
  if (!(total > 0)) return 2 ** -depth
  if (depth > bits) return bins[prefix >>> (depth - bits)]! / total / 2 ** (depth - bits)
  let sum = 0
  const from = prefix << (bits - depth)
  for (let i = from; i < from + (1 << (bits - depth)); i++) sum += bins[i]!
  return sum / total
}

function heavyOf(flows: HeavyFlows, total: number, minShare: number): HeavyFlow[] {
  const found: HeavyFlow[] = []
  for (let i = 0; i < flows.hash.length; i++) {
    const share = total > 0 ? (flows.upper[i]! - flows.excess[i]!) / total : 0
    if (flows.hash[i]! >= 0 && share > 0 && share >= minShare) found.push({ hash: flows.hash[i]!, share })
  }
  return found.sort((a, b) => b.share - a.share)
}
