import type { PlacementState } from './placement-state.ts'

/** What moving shards to faster paths may cost and must bring. */
export interface PromotionSettings {
  /** Latency per path, ms; Infinity: never promoted to. */
  readonly latencyMs: Float64Array
  /** A shard must gain at least this much, ms. */
  readonly minGainMs: number
  /** Share of all traffic that may be moved for it per placement. */
  readonly budget: number
}

/** A ms of a critical shard is worth this many ms of others per byte: decides who makes room on a scarce path. */
const CRITICAL_WORTH = 10
/** Shards of others that may be displaced for one critical shard. */
const MAX_DISPLACED = 4

interface Wish {
  readonly shard: number
  readonly path: number
  /** Worth of the gain: traffic x ms (x CRITICAL_WORTH for critical shards). */
  readonly worth: number
}

/**
 * Moves shards to faster paths within the link limits. Critical shards (priority 0) may take any faster path, and make
 * shards of later priority give way where a link is full if the latency gained is worth more than what those lose;
 * other shards only follow their stream's target, in order of priority.
 */
export function promote(state: PlacementState, settings: PromotionSettings): void {
  const wishes = collectWishes(state, settings)
  const journal: [shard: number, from: number][] = []
  let spent = 0
  for (const wish of wishes) {
    const { shard, path } = wish
    if (!state.allows(shard, path)) continue
    if (!isCritical(state, shard) && !wantsMore(state, path)) continue
    journal.length = 0
    const price = tryMove(state, wish, settings, journal)
    if (price === undefined || spent + price > settings.budget) undo(state, journal)
    else spent += price
  }
}

const isCritical = (state: PlacementState, s: number): boolean => state.shards.priority[s] === 0

const wantsMore = (state: PlacementState, path: number): boolean =>
  state.goal.targets[path]! - state.held[path]! > 1e-4

function collectWishes(state: PlacementState, settings: PromotionSettings): Wish[] {
  const { network, shards, path, traffic } = state
  const wishes: Wish[] = []
  for (let s = 0; s < shards.count; s++) {
    if (traffic[s]! <= 0) continue
    const stream = shards.stream[s]!
    const from = settings.latencyMs[path[s]!]!
    let best = -1
    for (let q = network.firstPath[stream]!; q < network.firstPath[stream + 1]!; q++) {
      if (from - settings.latencyMs[q]! < settings.minGainMs || state.goal.usable[q] === 0) continue
      if (
        !isCritical(state, s) &&
        (!wantsMore(state, q) || !state.fits(state.swapOf(path[s]!, q), traffic[s]!))
      )
        continue
      if (best < 0 || settings.latencyMs[q]! < settings.latencyMs[best]!) best = q
    }
    if (best < 0) continue
    const worth =
      (from - settings.latencyMs[best]!) * traffic[s]! * (isCritical(state, s) ? CRITICAL_WORTH : 1)
    wishes.push({ shard: s, path: best, worth })
  }
  const perCost = ({ shard, worth }: Wish) => worth / (state.cost[shard]! || 1)
  return wishes.sort(
    (a, b) =>
      shards.priority[a.shard]! - shards.priority[b.shard]! || perCost(b) - perCost(a) || a.shard - b.shard,
  )
}

/** The cost of the move and of those that make room for it; undefined if it does not fit or does not pay. */
function tryMove(
  state: PlacementState,
  wish: Wish,
  settings: PromotionSettings,
  journal: [number, number][],
): number | undefined {
  const { shard, path } = wish
  const swap = state.swapOf(state.path[shard]!, path)
  if (!isCritical(state, shard) && !state.fits(swap, state.traffic[shard]!)) return undefined
  let price = state.addedCost(shard, path)
  let worth = wish.worth
  journal.push([shard, state.path[shard]!])
  state.move(shard, path)
  for (let displaced = 0; ; displaced++) {
    const link = fullLink(state, swap)
    if (link < 0) return worth > 0 ? price : undefined
    if (displaced === MAX_DISPLACED) return undefined
    const found = findDisplaced(state, link, state.shards.priority[shard]!, settings)
    if (found === undefined) return undefined
    price += state.addedCost(found.shard, found.path)
    worth += found.worth
    journal.push([found.shard, state.path[found.shard]!])
    state.move(found.shard, found.path)
  }
}

/** A link gained by a change that is now above its limit; -1 if none. */
function fullLink(state: PlacementState, swap: number): number {
  const { gainedStart, gained } = state.swaps
  for (let i = gainedStart[swap]!; i < gainedStart[swap + 1]!; i++)
    if (state.load[gained[i]!]! > state.goal.linkLimit[gained[i]!]!) return gained[i]!
  return -1
}

/** The shard of later priority on `link` that can leave it whole, frees enough, and loses least latency (worth <= 0). */
function findDisplaced(
  state: PlacementState,
  link: number,
  priority: number,
  settings: PromotionSettings,
): Wish | undefined {
  const { network, swaps, head, next, shards, traffic } = state
  const needed = state.load[link]! - state.goal.linkLimit[link]!
  let best: Wish | undefined
  for (let i = swaps.throughStart[link]!; i < swaps.throughStart[link + 1]!; i++) {
    const p = swaps.throughLink[i]!
    const stream = network.pairOf[p]!
    for (let q = network.firstPath[stream]!; q < network.firstPath[stream + 1]!; q++) {
      const lostMs = settings.latencyMs[q]! - settings.latencyMs[p]!
      if (q === p || usesLink(state, q, link) || lostMs === Infinity) continue
      const swap = state.swapOf(p, q)
      for (let s = head[p]!; s >= 0; s = next[s]!) {
        if (shards.priority[s]! <= priority || traffic[s]! < needed) continue
        const worth = -Math.max(0, lostMs) * traffic[s]!
        if (best !== undefined && worth <= best.worth) continue
        if (state.fits(swap, traffic[s]!) && state.allows(s, q)) best = { shard: s, path: q, worth }
      }
    }
  }
  return best
}

function usesLink(state: PlacementState, path: number, link: number): boolean {
  const { pathStart, pathLinks } = state.network
  for (let i = pathStart[path]!; i < pathStart[path + 1]!; i++) if (pathLinks[i] === link) return true
  return false
}

function undo(state: PlacementState, journal: readonly [number, number][]): void {
  for (const [shard, from] of journal.toReversed()) state.move(shard, from)
}
