import type { PlacementState } from './placement-state.ts'

/** Moves taken from one scan of the shards on a link before the next scan. */
const BATCH = 24
/** A move of the batch is dropped once it brings less than this part of what it brought when it was found. */
const STILL_GOOD = 0.3
/** Shards smaller than this part of the excess are passed over at first: thousands of crumbs would take thousands of moves. */
const CRUMB = 0.05
/** Cost of moves that cost nothing (on the way home, or a second move), so that ratios stay finite. */
const FREE = 1e-9
/**
 * After so many scans (or one per link, if that is more) every stream only goes towards its target: what cheap moves can
 * do is done, the rest converges.
 */
const FREE_SCANS = 40
/** Scans per placement (or ten per link): bounds the time whatever the input. */
const MAX_SCANS = 400

/** Differences of a stream's shares below this are left alone. */
const NEGLIGIBLE = 1e-4

/** The best moves found by a scan, in falling order of relief per cost. */
interface Batch {
  size: number
  readonly shard: Int32Array
  readonly path: Int32Array
  readonly ratio: Float64Array
}

/** A repair under way. */
interface Repair {
  readonly state: PlacementState
  /** 1 per shard that went towards its target and stays there; 1 per stream that has such a shard. */
  readonly settled: Uint8Array
  readonly guided: Uint8Array
  readonly batch: Batch
}

/**
 * Moves shards until no link is above its limit: from the worst link, the moves with the most relief per cost.
 * Where no single move relieves (several links are full at once), a shard goes towards its stream's target, which
 * is within all limits: by convexity enough such moves always end it, up to the size of a shard. A stream that was so
 * moved only goes on towards its target, so that the two kinds of move do not undo each other.
 */
export function repair(state: PlacementState): void {
  const under: Repair = {
    state,
    settled: new Uint8Array(state.shards.count),
    guided: new Uint8Array(state.network.pairs),
    batch: {
      size: 0,
      shard: new Int32Array(BATCH),
      path: new Int32Array(BATCH),
      ratio: new Float64Array(BATCH),
    },
  }
  const hopeless = new Uint8Array(state.load.length)
  const freeScans = Math.max(FREE_SCANS, hopeless.length)
  const maxScans = Math.max(MAX_SCANS, 10 * hopeless.length)
  for (let scans = 0; scans < maxScans; scans++) {
    if (scans === freeScans) under.guided.fill(1)
    const link = state.worstLink(hopeless)
    if (link < 0) return
    scan(under, link, CRUMB * (state.load[link]! - state.goal.linkLimit[link]!))
    if (under.batch.size === 0) scan(under, link, 0)
    if (under.batch.size > 0) applyBatch(state, link, under.batch)
    else if (!moveTowardsTarget(under, link)) hopeless[link] = 1
  }
}

/** Finds the best moves away from `link` of shards with more traffic than `crumb`. */
function scan({ state, settled, guided, batch }: Repair, link: number, crumb: number): void {
  const { network, swaps, head, next, traffic } = state
  batch.size = 0
  for (let i = swaps.throughStart[link]!; i < swaps.throughStart[link + 1]!; i++) {
    const p = swaps.throughLink[i]!
    if (head[p] === -1) continue
    const stream = network.pairOf[p]!
    for (let q = network.firstPath[stream]!; q < network.firstPath[stream + 1]!; q++) {
      const swap = state.swapOf(p, q)
      if (!loses(state, swap, link) || (guided[stream] === 1 && !nearsTarget(state, p, q))) continue
      state.aim(swap)
      for (let s = head[p]!; s >= 0; s = next[s]!)
        if (settled[s] === 0 && traffic[s]! > crumb) offer(state, batch, s, q)
    }
  }
}

/** True if p holds more of its stream than planned, and q less. */
function nearsTarget({ held, goal }: PlacementState, p: number, q: number): boolean {
  return held[p]! > goal.targets[p]! + NEGLIGIBLE && held[q]! < goal.targets[q]! - NEGLIGIBLE
}

function loses(state: PlacementState, swap: number, link: number): boolean {
  const { lostStart, lost } = state.swaps
  for (let i = lostStart[swap]!; i < lostStart[swap + 1]!; i++) if (lost[i] === link) return true
  return false
}

/** Of moving shard s along the change aimed at, to q; 0 if it relieves nothing. */
function reliefPerCost(state: PlacementState, s: number, q: number): number {
  const relief = state.relief(state.traffic[s]!)
  return relief <= 0 ? 0 : relief / Math.max(state.addedCost(s, q), FREE)
}

function offer(state: PlacementState, batch: Batch, s: number, q: number): void {
  const ratio = reliefPerCost(state, s, q)
  if (ratio <= 0 || (batch.size === BATCH && ratio <= batch.ratio[BATCH - 1]!) || !state.allows(s, q)) return
  let at = batch.size < BATCH ? batch.size++ : BATCH - 1
  for (; at > 0 && batch.ratio[at - 1]! < ratio; at--) {
    batch.ratio[at] = batch.ratio[at - 1]!
    batch.shard[at] = batch.shard[at - 1]!
    batch.path[at] = batch.path[at - 1]!
  }
  batch.ratio[at] = ratio
  batch.shard[at] = s
  batch.path[at] = q
}

function applyBatch(state: PlacementState, link: number, batch: Batch): void {
  const limit = state.goal.linkLimit[link]!
  for (let i = 0; i < batch.size && state.load[link]! > limit; i++) {
    const s = batch.shard[i]!
    const q = batch.path[i]!
    const swap = state.swapOf(state.path[s]!, q)
    if (i > 0 && (!loses(state, swap, link) || !state.allows(s, q))) continue
    state.aim(swap)
    if (i === 0 || reliefPerCost(state, s, q) >= STILL_GOOD * batch.ratio[i]!) state.move(s, q)
  }
}

/** A step of one stream towards its target: a shard to another path, or (`back` >= 0) two shards that change places. */
interface Step {
  value: number
  shard: number
  path: number
  back: number
}

/** One step of a stream that holds too much on `link`, the one that corrects most traffic; false if none is left. */
function moveTowardsTarget({ state, settled, guided }: Repair, link: number): boolean {
  const { swaps, held, goal } = state
  const step: Step = { value: 0, shard: -1, path: -1, back: -1 }
  for (let i = swaps.throughStart[link]!; i < swaps.throughStart[link + 1]!; i++) {
    const p = swaps.throughLink[i]!
    const surplus = held[p]! - goal.targets[p]!
    if (surplus <= NEGLIGIBLE) continue
    const q = emptiestBeside(state, p, link)
    if (q >= 0) bestStep(state, p, q, Math.min(surplus, goal.targets[q]! - held[q]!), settled, step)
  }
  if (step.shard < 0) return false
  const from = state.path[step.shard]!
  settled[step.shard] = 1
  guided[state.shards.stream[step.shard]!] = 1
  state.move(step.shard, step.path)
  if (step.back >= 0) {
    settled[step.back] = 1
    state.move(step.back, from)
  }
  return true
}

/** Improves `step` by what brings `wanted` of the stream's share from p to q most exactly: one shard, else an exchange. */
function bestStep(
  state: PlacementState,
  p: number,
  q: number,
  wanted: number,
  settled: Uint8Array,
  step: Step,
): void {
  const { head, next, shards, goal, network } = state
  const demand = goal.demand[network.pairOf[p]!]!
  const consider = (s: number, back: number, share: number) => {
    const value = (wanted - Math.abs(wanted - share)) * demand
    if (share <= 0 || value <= step.value || !state.allows(s, q) || (back >= 0 && !state.allows(back, p)))
      return
    step.value = value
    step.shard = s
    step.path = q
    step.back = back
  }
  for (let s = head[p]!; s >= 0; s = next[s]!) {
    if (settled[s] === 1) continue
    const share = shards.share[s]!
    consider(s, -1, share)
    if (share <= 2 * wanted) continue
    for (let t = head[q]!; t >= 0; t = next[t]!)
      if (settled[t] === 0) consider(s, t, share - shards.share[t]!)
  }
}

/** The path of p's stream furthest below its target that does not use `link`; -1 if none is below. */
function emptiestBeside(state: PlacementState, p: number, link: number): number {
  const { network, held, goal } = state
  const stream = network.pairOf[p]!
  let best = -1
  let deficit = NEGLIGIBLE
  for (let q = network.firstPath[stream]!; q < network.firstPath[stream + 1]!; q++) {
    const missing = goal.targets[q]! - held[q]!
    if (missing <= deficit || !loses(state, state.swapOf(p, q), link)) continue
    deficit = missing
    best = q
  }
  return best
}

/** Takes moves back that turned out not to be needed, the dearest first. */
export function undoNeedless(state: PlacementState): void {
  const { path, standing, cost } = state
  for (let pass = 0; pass < 3; pass++) {
    const moved: number[] = []
    for (let s = 0; s < path.length; s++) if (path[s] !== standing[s]) moved.push(s)
    moved.sort((a, b) => cost[b]! - cost[a]! || a - b)
    let undone = 0
    for (const s of moved) {
      const home = standing[s]!
      if (home < 0) continue
      if (!state.fits(state.swapOf(path[s]!, home), state.traffic[s]!) || !state.allows(s, home)) continue
      state.move(s, home)
      undone++
    }
    if (undone === 0) return
  }
}
