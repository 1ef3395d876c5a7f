import type { Network } from '../network.ts'
import type { ShardColumns } from './shard-columns.ts'
import type { Swaps } from './swaps.ts'

/** What a placement is judged by; see `PlacementInput` for the meaning of each. */
export interface PlacementGoal {
  readonly demand: Float64Array
  readonly targets: Float64Array
  /** Largest load that each link should carry, unit of the demands. */
  readonly linkLimit: Float64Array
  /** Largest share of a stream's ring on one region, per stream. */
  readonly regionLimit: Float64Array
  /** 1 per path that may be used. */
  readonly usable: Uint8Array
  /** Weight of the ring (number of flows) in the cost of a move, 0..1; the rest is traffic. */
  readonly ringWeight: number
}

/** The share of the limit above which load counts as pressure: room is made before it is needed. */
const PRESSURE_FROM = 0.99

/** Moves of critical shards count this much more. */
const CRITICAL_FACTOR = 4

/** A placement being changed: loads per link, shards per path as linked lists, and what each move costs and brings. */
export class PlacementState {
  readonly network: Network
  readonly swaps: Swaps
  readonly shards: ShardColumns
  readonly goal: PlacementGoal
  /** Path per shard now, and where it stood. */
  readonly path: Int32Array
  readonly standing: Int32Array
  readonly load: Float64Array
  /** Share of the stream on each path. */
  readonly held: Float64Array
  /** First shard on each path, next and previous shard on the same path; -1 ends. */
  readonly head: Int32Array
  readonly next: Int32Array
  readonly previous: Int32Array
  /** Traffic of each shard, and what moving it away from where it stood costs, as a share of all traffic. */
  readonly traffic: Float64Array
  readonly cost: Float64Array
  /** Ring of the stream on the region of each path, held at the first path of that region. */
  readonly #ringOf: Float64Array
  readonly #regionSlot: Int32Array
  readonly #soft: Float64Array
  readonly #scale: Float64Array
  /** The change aimed at: lost links under pressure, and what its gained links take without any. */
  #aimed = 0
  #pressedCount = 0
  readonly #pressed: Int32Array
  #room = 0

  /** `standing`: path per shard, -1 if new; `start`: where the change begins. Both of length `shards.count`. */
  constructor(
    network: Network,
    swaps: Swaps,
    shards: ShardColumns,
    goal: PlacementGoal,
    standing: Int32Array,
    start: Int32Array,
  ) {
    this.network = network
    this.swaps = swaps
    this.shards = shards
    this.goal = goal
    this.standing = standing
    this.path = start.slice()
    this.load = new Float64Array(network.links)
    this.held = new Float64Array(network.paths)
    this.head = new Int32Array(network.paths).fill(-1)
    this.next = new Int32Array(shards.count).fill(-1)
    this.previous = new Int32Array(shards.count).fill(-1)
    this.traffic = new Float64Array(shards.count)
    this.cost = new Float64Array(shards.count)
    this.#pressed = new Int32Array(network.links)
    this.#ringOf = new Float64Array(network.paths)
    this.#regionSlot = regionSlots(network)
    this.#soft = goal.linkLimit.map((limit) => limit * PRESSURE_FROM)
    this.#scale = goal.linkLimit.map((limit) => 1 / Math.max(limit, Number.MIN_VALUE))
    this.#fill()
  }

  #fill(): void {
    const { shards, goal, path } = this
    let total = 0
    for (let k = 0; k < goal.demand.length; k++) total += goal.demand[k]!
    for (let s = 0; s < shards.count; s++) {
      const demand = goal.demand[shards.stream[s]!]!
      const cost = goal.ringWeight * shards.ring[s]! + (1 - goal.ringWeight) * shards.share[s]!
      this.traffic[s] = demand * shards.share[s]!
      this.cost[s] = ((demand * cost) / (total || 1)) * (shards.priority[s] === 0 ? CRITICAL_FACTOR : 1)
      this.#link(s, path[s]!)
    }
  }

  #link(s: number, p: number): void {
    const { head, next, previous, shards, network } = this
    const first = head[p]!
    next[s] = first
    previous[s] = -1
    if (first >= 0) previous[first] = s
    head[p] = s
    this.path[s] = p
    this.held[p] = this.held[p]! + shards.share[s]!
    const slot = this.#regionSlot[p]!
    this.#ringOf[slot] = this.#ringOf[slot]! + shards.ring[s]!
    for (let i = network.pathStart[p]!; i < network.pathStart[p + 1]!; i++) {
      const e = network.pathLinks[i]!
      this.load[e] = this.load[e]! + this.traffic[s]!
    }
  }

  #unlink(s: number): void {
    const { head, next, previous, shards, network } = this
    const p = this.path[s]!
    const before = previous[s]!
    const after = next[s]!
    if (before >= 0) next[before] = after
    else head[p] = after
    if (after >= 0) previous[after] = before
    this.held[p] = this.held[p]! - shards.share[s]!
    const slot = this.#regionSlot[p]!
    this.#ringOf[slot] = this.#ringOf[slot]! - shards.ring[s]!
    for (let i = network.pathStart[p]!; i < network.pathStart[p + 1]!; i++) {
      const e = network.pathLinks[i]!
      this.load[e] = this.load[e]! - this.traffic[s]!
    }
  }

  /** Puts shard s on path q. */
  move(s: number, q: number): void {
    this.#unlink(s)
    this.#link(s, q)
  }

  /** Number of the change path[s] -> q in `swaps`. */
  swapOf(p: number, q: number): number {
    return this.swaps.base[p]! + q - this.network.firstPath[this.network.pairOf[p]!]!
  }

  /** Chooses the change that `relief` speaks of, until the next move. */
  aim(swap: number): void {
    const { lostStart, lost, gainedStart, gained } = this.swaps
    this.#aimed = swap
    this.#pressedCount = 0
    for (let i = lostStart[swap]!; i < lostStart[swap + 1]!; i++)
      if (this.load[lost[i]!]! > this.#soft[lost[i]!]!) this.#pressed[this.#pressedCount++] = lost[i]!
    this.#room = Infinity
    for (let i = gainedStart[swap]!; i < gainedStart[swap + 1]!; i++)
      this.#room = Math.min(this.#room, this.#soft[gained[i]!]! - this.load[gained[i]!]!)
  }

  /** By how much moving traffic x along the change lowers the pressure (sum of squared excess over 99 % of the limits). */
  relief(x: number): number {
    const { load } = this
    const soft = this.#soft
    const scale = this.#scale
    let relief = 0
    for (let i = 0; i < this.#pressedCount; i++) {
      const e = this.#pressed[i]!
      const now = (load[e]! - soft[e]!) * scale[e]!
      const then = now - x * scale[e]!
      relief += then > 0 ? now * now - then * then : now * now
    }
    if (x <= this.#room) return relief
    const { gainedStart, gained } = this.swaps
    for (let i = gainedStart[this.#aimed]!; i < gainedStart[this.#aimed + 1]!; i++) {
      const e = gained[i]!
      const then = (load[e]! + x - soft[e]!) * scale[e]!
      if (then <= 0) continue
      const now = then - x * scale[e]!
      relief -= now > 0 ? then * then - now * now : then * then
    }
    return relief
  }

  /** True if the links that gain traffic x stay within their limits. */
  fits(swap: number, x: number): boolean {
    const { gainedStart, gained } = this.swaps
    for (let i = gainedStart[swap]!; i < gainedStart[swap + 1]!; i++) {
      const e = gained[i]!
      if (this.load[e]! + x > this.goal.linkLimit[e]!) return false
    }
    return true
  }

  /** What the move of s to q adds to the cost: 0 or less when it goes home or has left home already. */
  addedCost(s: number, q: number): number {
    const home = this.standing[s]!
    return this.path[s] === home ? this.cost[s]! : q === home ? -this.cost[s]! : 0
  }

  /** True if shard s may go to path q: the path is usable and its region may hold that much of the stream's ring. */
  allows(s: number, q: number): boolean {
    if (this.goal.usable[q] === 0) return false
    const stream = this.shards.stream[s]!
    const limit = this.goal.regionLimit[stream]!
    if (limit >= 1) return true
    const slot = this.#regionSlot[q]!
    return (
      slot === this.#regionSlot[this.path[s]!]! || this.#ringOf[slot]! + this.shards.ring[s]! <= limit + 1e-12
    )
  }

  /** The link furthest above its limit, among those not `skipped`; -1 if all are within. */
  worstLink(skipped: Uint8Array): number {
    let worst = -1
    let excess = 1e-12
    for (let e = 0; e < this.load.length; e++) {
      const over = (this.load[e]! - this.goal.linkLimit[e]!) * this.#scale[e]!
      if (over > excess && skipped[e] === 0) {
        excess = over
        worst = e
      }
    }
    return worst
  }
}

/** For each path, the first path of the same stream that leads to the same region. */
export function regionSlots(network: Network): Int32Array {
  return network.pairOf.map((stream, p) => {
    for (let q = network.firstPath[stream]!; q < p; q++)
      if (network.regions[q] === network.regions[p]) return q
    return p
  })
}
