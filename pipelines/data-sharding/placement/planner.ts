import { Flow, hottest, type Routing } from './flow.ts'
import type { Layout } from './layout.ts'

/** What a planner may do in one step. */
export interface PlanLimits {
  /** Copies that may be started. */
  readonly copies: number
  /** Most replicas of all segments. */
  readonly cap: number
}

const TOLERANCE = 1.05
const LEAST_GAIN = 1e-9
const REPLICA_EDGE = 1.25
const LARGE_SHARE = 0.25

/** A change that takes load off the hottest instance; `delta` is what it does to the sum of squared loads. */
interface Step {
  readonly delta: number
  readonly kind: 'move' | 'copy'
  readonly segment: number
  readonly to: number
  /** Work that leaves the hottest instance. */
  readonly transfer: number
}

const NO_STEP: Step = { delta: 0, kind: 'move', segment: -1, to: -1, transfer: 0 }
const square = (x: number) => x * x
const sumOf = (loads: Float64Array) => loads.reduce((sum, l) => sum + l, 0)

/** The least loaded instance that does not hold the segment; -1 if all do. */
export function coldestWithout(loads: Float64Array, layout: Layout, segment: number): number {
  let to = -1
  for (let i = 0; i < layout.instances; i++)
    if (!layout.holds(segment, i) && (to < 0 || loads[i]! < loads[to]!)) to = i
  return to
}

/** Plans one step: changes the layout for the work expected and returns the copies started. */
export interface Planner {
  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits): number
}

/** The protocol's planner for the routing: moves and copies off the hottest instance while that evens the load out. */
export const createPlanner = (segments: number, instances: number, routing: Routing): Planner =>
  routing === 'live' ? new LivePlanner(segments, instances) : new EqualPlanner(segments, instances)

/** Loads are kept up to date by increments, and gains are differences of squares: other orders break ties otherwise. */
class EqualPlanner implements Planner {
  readonly #flow: Flow

  constructor(segments: number, instances: number) {
    this.#flow = new Flow(segments, instances)
  }

  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits): number {
    this.#flow.route(work, layout, 'equal')
    const { loads } = this.#flow
    const mean = sumOf(loads) / loads.length
    let copies = 0
    while (copies < limits.copies) {
      const hot = hottest(loads)
      if (!(loads[hot]! > TOLERANCE * mean)) break
      const step = this.#best(work, layout, hot, mean)
      if (!(-step.delta > LEAST_GAIN * mean * mean)) break
      if (step.kind === 'move') this.#move(step, layout, hot)
      else {
        if (layout.total >= limits.cap && !this.#makeRoom(step, work, layout, mean)) break
        this.#copy(step.segment, step.to, work, layout)
      }
      copies++
    }
    return copies
  }

  #best(work: ArrayLike<number>, layout: Layout, hot: number, mean: number): Step {
    const { loads } = this.#flow
    let best = NO_STEP
    for (let segment = 0; segment < layout.segments; segment++) {
      const transfer = work[segment]! / layout.count[segment]!
      if (!layout.holds(segment, hot) || !(transfer > 0)) continue
      const to = coldestWithout(loads, layout, segment)
      if (to < 0) continue
      const move =
        square(loads[hot]! - transfer) -
        square(loads[hot]!) +
        (square(loads[to]! + transfer) - square(loads[to]!))
      if (move < best.delta) best = { delta: move, kind: 'move', segment, to, transfer }
      const copy = this.#copyDelta(segment, to, work, layout)
      const edge = transfer > LARGE_SHARE * mean ? 1 : REPLICA_EDGE
      if (copy < best.delta * edge) best = { delta: copy, kind: 'copy', segment, to, transfer }
    }
    return best
  }

  #copyDelta(segment: number, to: number, work: ArrayLike<number>, layout: Layout): number {
    const { loads } = this.#flow
    const held = layout.count[segment]!
    const next = work[segment]! / (held + 1)
    const change = next - work[segment]! / held
    let delta = square(loads[to]! + next) - square(loads[to]!)
    for (let i = 0; i < layout.instances; i++)
      if (layout.holds(segment, i)) delta += square(loads[i]! + change) - square(loads[i]!)
    return delta
  }

  #dropDelta(segment: number, from: number, work: ArrayLike<number>, layout: Layout): number {
    const { loads } = this.#flow
    const held = layout.count[segment]!
    const share = work[segment]! / held
    const change = work[segment]! / (held - 1) - share
    let delta = square(loads[from]! - share) - square(loads[from]!)
    for (let i = 0; i < layout.instances; i++)
      if (i !== from && layout.holds(segment, i)) delta += square(loads[i]! + change) - square(loads[i]!)
    return delta
  }

  /** At the cap: drops the replica whose loss costs least, if the step pays for both. */
  #makeRoom(step: Step, work: ArrayLike<number>, layout: Layout, mean: number): boolean {
    let least = Infinity
    let at = -1
    for (let s = 0; s < layout.segments; s++) {
      if (layout.count[s]! < 2) continue
      for (let i = 0; i < layout.instances; i++) {
        if (!layout.holds(s, i)) continue
        const delta = this.#dropDelta(s, i, work, layout)
        if (delta >= least) continue
        least = delta
        at = s * layout.instances + i
      }
    }
    if (at < 0 || !(-(least + step.delta) > LEAST_GAIN * mean * mean)) return false
    this.#drop(Math.floor(at / layout.instances), at % layout.instances, work, layout)
    return true
  }

  #move(step: Step, layout: Layout, hot: number): void {
    const { loads } = this.#flow
    loads[hot]! -= step.transfer
    loads[step.to]! += step.transfer
    layout.drop(step.segment, hot)
    layout.add(step.segment, step.to)
  }

  #copy(segment: number, to: number, work: ArrayLike<number>, layout: Layout): void {
    const { loads } = this.#flow
    const held = layout.count[segment]!
    const next = work[segment]! / (held + 1)
    const change = next - work[segment]! / held
    for (let i = 0; i < layout.instances; i++) if (layout.holds(segment, i)) loads[i]! += change
    loads[to]! += next
    layout.add(segment, to)
  }

  #drop(segment: number, from: number, work: ArrayLike<number>, layout: Layout): void {
    const { loads } = this.#flow
    const held = layout.count[segment]!
    const share = work[segment]! / held
    const change = work[segment]! / (held - 1) - share
    for (let i = 0; i < layout.instances; i++) if (i !== from && layout.holds(segment, i)) loads[i]! += change
    loads[from]! -= share
    layout.drop(segment, from)
  }
}

/** The same on water-filled loads; a copy is preferred to a move that gains as much. */
class LivePlanner implements Planner {
  readonly #flow: Flow

  constructor(segments: number, instances: number) {
    this.#flow = new Flow(segments, instances)
  }

  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits): number {
    const { loads } = this.#flow
    let copies = 0
    while (copies < limits.copies) {
      this.#flow.route(work, layout, 'live')
      const mean = sumOf(loads) / loads.length
      const hot = hottest(loads)
      if (!(loads[hot]! > TOLERANCE * mean)) break
      const step = this.#best(layout, hot)
      if (!(-step.delta > LEAST_GAIN * mean * mean)) break
      this.#take(step, layout, hot, limits.cap)
      copies++
    }
    return copies
  }

  #best(layout: Layout, hot: number): Step {
    const { loads, shares } = this.#flow
    let best = NO_STEP
    for (let segment = 0; segment < layout.segments; segment++) {
      const share = shares[segment * layout.instances + hot]!
      if (!layout.holds(segment, hot) || !(share > 0)) continue
      const to = coldestWithout(loads, layout, segment)
      if (to < 0) continue
      const gap = loads[hot]! - loads[to]!
      const transfer = Math.min(share, gap / 2)
      const copy = 2 * transfer * (transfer - gap)
      if (copy < best.delta) best = { delta: copy, kind: 'copy', segment, to, transfer }
      const move = 2 * share * (share - gap)
      if (move < best.delta) best = { delta: move, kind: 'move', segment, to, transfer: share }
    }
    return best
  }

  /** At the cap the least used replica goes, or a plain move is made if that one carries more than half the transfer. */
  #take(step: Step, layout: Layout, hot: number, cap: number): void {
    let isMove = step.kind === 'move'
    if (!isMove && layout.total >= cap) {
      const least = leastUsed(this.#flow.shares, layout)
      if (least < 0 || this.#flow.shares[least]! > step.transfer / 2) isMove = true
      else layout.drop(Math.floor(least / layout.instances), least % layout.instances)
    }
    if (isMove) layout.drop(step.segment, hot)
    layout.add(step.segment, step.to)
  }
}

/** Index (`segment * instances + instance`) of the replica that carries least, where there is another one; -1 if none. */
function leastUsed(shares: Float64Array, layout: Layout): number {
  let least = -1
  for (let s = 0; s < layout.segments; s++) {
    if (layout.count[s]! < 2) continue
    for (let i = 0; i < layout.instances; i++) {
      const at = s * layout.instances + i
      if (layout.has[at] === 1 && (least < 0 || shares[at]! < shares[least]!)) least = at
    }
  }
  return least
}

/** When a second replica of a hot segment may take the place of another's at the cap. */
export interface SpreadRule {
  /** It must carry so many times the work of the other, ... */
  readonly ratio: number
  /** ... and this share of an instance's mean beyond. */
  readonly least: number
}

/** The rule of the protocol. */
export const PROTOCOL_SPREAD: SpreadRule = { ratio: 2, least: 0.02 }

/** Among segments that have several replicas the one with the least work per replica; -1 if none. */
function coldestReplica(work: ArrayLike<number>, layout: Layout): number {
  let cold = -1
  let least = Infinity
  for (let s = 0; s < layout.segments; s++) {
    const each = work[s]! / layout.count[s]!
    if (layout.count[s]! < 2 || each >= least) continue
    least = each
    cold = s
  }
  return cold
}

/** The most loaded instance that holds the segment. */
function hottestHolder(loads: Float64Array, layout: Layout, segment: number): number {
  let at = -1
  for (let i = 0; i < layout.instances; i++)
    if (layout.holds(segment, i) && (at < 0 || loads[i]! > loads[at]!)) at = i
  return at
}

/** Spends copies that are left on a second replica of the hottest segments that have one only. Returns the copies. */
export class Spreader {
  readonly #flow: Flow
  readonly #routing: Routing
  readonly #rule: SpreadRule

  constructor(segments: number, instances: number, routing: Routing, rule: SpreadRule = PROTOCOL_SPREAD) {
    this.#flow = new Flow(segments, instances)
    this.#routing = routing
    this.#rule = rule
  }

  spread(work: ArrayLike<number>, layout: Layout, limits: PlanLimits): number {
    let copies = 0
    for (; copies < limits.copies; copies++) {
      this.#flow.route(work, layout, this.#routing)
      const { loads } = this.#flow
      const mean = sumOf(loads) / loads.length
      let hot = -1
      for (let s = 0; s < layout.segments; s++)
        if (layout.count[s] === 1 && (hot < 0 || work[s]! > work[hot]!)) hot = s
      if (hot < 0 || !(work[hot]! > 0)) break
      if (layout.total >= limits.cap) {
        const cold = coldestReplica(work, layout)
        if (cold < 0 || work[hot]! < this.#rule.ratio * work[cold]! + this.#rule.least * mean) break
        layout.drop(cold, hottestHolder(loads, layout, cold))
        this.#flow.route(work, layout, this.#routing)
      }
      const to = coldestWithout(loads, layout, hot)
      if (to < 0) break
      layout.add(hot, to)
    }
    return copies
  }
}
