import { h32 } from './hash.ts'
import { evenStrength, type Strength } from './strength.ts'

/** Values that a hash may have. */
const RANGE = 2 ** 32

/** Which instances hold which segments: a matrix of flags, with the counts that planners ask for all the time. */
export class Layout {
  readonly segments: number
  readonly instances: number
  /** 1 at `segment * instances + instance` where a replica lies. */
  readonly has: Uint8Array
  /** Replicas of each segment. */
  readonly count: Uint8Array
  /** Replicas of all segments. */
  total = 0

  constructor(segments: number, instances: number) {
    this.segments = segments
    this.instances = instances
    this.has = new Uint8Array(segments * instances)
    this.count = new Uint8Array(segments)
  }

  /** True if the instance holds the segment. */
  holds(segment: number, instance: number): boolean {
    return this.has[segment * this.instances + instance] === 1
  }

  /** Adds a replica; the instance must not hold the segment yet. */
  add(segment: number, instance: number): void {
    this.has[segment * this.instances + instance] = 1
    this.count[segment]!++
    this.total++
  }

  /** Takes a replica away; the instance must hold the segment. */
  drop(segment: number, instance: number): void {
    this.has[segment * this.instances + instance] = 0
    this.count[segment]!--
    this.total--
  }

  /** The instances that hold a segment, ascending. */
  holders(segment: number): number[] {
    const found: number[] = []
    for (let i = 0; i < this.instances; i++) if (this.holds(segment, i)) found.push(i)
    return found
  }

  /** Makes this layout equal to another of the same size. */
  copyFrom(other: Layout): void {
    this.has.set(other.has)
    this.count.set(other.count)
    this.total = other.total
  }

  /** A layout of its own with the same replicas. */
  clone(): Layout {
    const copy = new Layout(this.segments, this.instances)
    copy.copyFrom(this)
    return copy
  }
}

/**
 * Instances by preference of each segment: rendezvous hashing, the largest `h32("s{s}|i{i}")` first
 * (Thaler and Ravishankar 1998), weighted by strength where that is given: the largest -strength / ln(hash as a share of
 * its range) first, so that first places are shared out by strength, and only what an instance gains or loses moves
 * (Schindelhauer and Schomaker 2005). Row s holds every instance once; those that are down come last.
 */
export function rendezvousOrder(
  segments: number,
  instances: number,
  strength = evenStrength(instances),
): Uint8Array {
  const order = new Uint8Array(segments * instances)
  const { values, isEven } = strength
  for (let s = 0; s < segments; s++) {
    const scores = Array.from({ length: instances }, (_, i) => {
      const hash = h32(`s${s}|i${i}`)
      return isEven ? hash : values[i]! / -Math.log((hash + 0.5) / RANGE)
    })
    const ranked = scores.map((_, i) => i).sort((a, b) => scores[b]! - scores[a]! || a - b)
    order.set(ranked, s * instances)
  }
  return order
}

/** One replica of every segment, at its first instance by rendezvous hashing. */
export function rendezvousLayout(segments: number, instances: number, strength?: Strength): Layout {
  const order = rendezvousOrder(segments, instances, strength)
  const layout = new Layout(segments, instances)
  for (let s = 0; s < segments; s++) layout.add(s, order[s * instances]!)
  return layout
}

/** Segments by load, largest first; equal loads by number. */
export const byLoad = (loads: ArrayLike<number>): number[] =>
  Array.from({ length: loads.length }, (_, s) => s).sort((a, b) => loads[b]! - loads[a]! || a - b)

/** Rendezvous placement, and a second replica of the segments of most load, until there are `cap` replicas. */
export function hotReplicas(
  loads: ArrayLike<number>,
  instances: number,
  cap: number,
  strength = evenStrength(instances),
): Layout {
  const segments = loads.length
  const order = rendezvousOrder(segments, instances, strength)
  const layout = new Layout(segments, instances)
  for (let s = 0; s < segments; s++) layout.add(s, order[s * instances]!)
  for (const s of byLoad(loads).slice(0, Math.max(0, cap - segments))) {
    const second = order[s * instances + 1]
    if (second !== undefined && strength.values[second]! > 0) layout.add(s, second)
  }
  return layout
}

/** The points of a hash ring, ascending, and whose they are. */
export interface HashRing {
  readonly points: Float64Array
  readonly owners: Uint8Array
}

/** A ring with `vnodes` points `h32("i{i}:v{v}")` an instance. */
export function hashRing(instances: number, vnodes = 100): HashRing {
  const all: { point: number; owner: number }[] = []
  for (let i = 0; i < instances; i++)
    for (let v = 0; v < vnodes; v++) all.push({ point: h32(`i${i}:v${v}`), owner: i })
  all.sort((a, b) => a.point - b.point || a.owner - b.owner)
  return {
    points: Float64Array.from(all, ({ point }) => point),
    owners: Uint8Array.from(all, ({ owner }) => owner),
  }
}

/** Index of the first point not below `h32("s{s}")`, wrapping. */
export function ringStart(ring: HashRing, segment: number): number {
  const hash = h32(`s${segment}`)
  const at = ring.points.findIndex((point) => point >= hash)
  return at < 0 ? 0 : at
}

/** One replica of every segment, at the owner of its place on the ring. */
export function ringLayout(segments: number, instances: number, ring = hashRing(instances)): Layout {
  const layout = new Layout(segments, instances)
  for (let s = 0; s < segments; s++) layout.add(s, ring.owners[ringStart(ring, s)]!)
  return layout
}
