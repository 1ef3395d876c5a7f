import { Flow, type Routing } from './flow.ts'
import type { Layout } from './layout.ts'
import { evenStrength, type Strength } from './strength.ts'

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

/** The instance with the lowest level that is up and does not hold the segment; -1 if there is none. */
export function coldestWithout(flow: Flow, { values }: Strength, layout: Layout, segment: number): number {
  let to = -1
  for (let i = 0; i < layout.instances; i++)
    if (values[i]! > 0 && !layout.holds(segment, i) && (to < 0 || flow.level(i) < flow.level(to))) to = i
  return to
}

/** Plans one step: changes the layout for the work expected and returns the copies started. Nothing is put on what is down. */
export interface Planner {
  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits, strength?: Strength): number
}

/** The protocol's planner for the routing: moves and copies off the hottest instance while that evens the load out. */
export const createPlanner = (segments: number, instances: number, routing: Routing): Planner =>
  routing === 'live' ? new LivePlanner(segments, instances) : new EqualPlanner(segments, instances)

/** Loads are kept up to date by increments, and gains are differences of squares: other orders break ties otherwise. */
class EqualPlanner implements Planner {
  readonly #flow: Flow
  readonly #even: Strength
  #strength: Strength

  constructor(segments: number, instances: number) {
    this.#flow = new Flow(segments, instances)
    this.#even = evenStrength(instances)
    this.#strength = this.#even
  }

  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits, strength = this.#even): number {
    this.#strength = strength
    this.#flow.route(work, layout, 'equal', strength)
    const mean = this.#flow.meanLevel()
    let copies = 0
    while (copies < limits.copies) {
      const hot = this.#flow.hottest()
      if (!(this.#flow.level(hot) > TOLERANCE * mean) || strength.values[hot] === 0) break
      const step = this.#best(work, layout, hot, mean)
      if (!(-step.delta > LEAST_GAIN * mean * mean)) break
      if (step.kind === 'move') this.#move(step, work, layout, hot)
      else {
        if (layout.total >= limits.cap && !this.#makeRoom(step, work, layout, mean)) break
        this.#share(step.segment, step.to, work, layout, 1)
      }
      copies++
    }
    return copies
  }

  /** What `change` of the load of an instance does to the sum of squares by strength. */
  #delta(instance: number, change: number): number {
    const load = this.#flow.loads[instance]!
    const strength = this.#strength.values[instance]!
    return strength > 0 ? (square(load + change) - square(load)) / strength : 0
  }

  #best(work: ArrayLike<number>, layout: Layout, hot: number, mean: number): Step {
    const { values } = this.#strength
    let best = NO_STEP
    for (let segment = 0; segment < layout.segments; segment++) {
      if (!layout.holds(segment, hot) || !(work[segment]! > 0)) continue
      const to = coldestWithout(this.#flow, this.#strength, layout, segment)
      if (to < 0) continue
      const transfer = (work[segment]! / this.#flow.held(layout, segment)) * values[hot]!
      const move = this.#moveDelta(segment, hot, to, transfer, work, layout)
      if (move < best.delta) best = { delta: move, kind: 'move', segment, to, transfer }
      const copy = this.#shareDelta(segment, to, work, layout, 1)
      const edge = transfer > LARGE_SHARE * mean * values[hot]! ? 1 : REPLICA_EDGE
      if (copy < best.delta * edge) best = { delta: copy, kind: 'copy', segment, to, transfer }
    }
    return best
  }

  #moveDelta(
    segment: number,
    hot: number,
    to: number,
    transfer: number,
    work: ArrayLike<number>,
    layout: Layout,
  ): number {
    const { values } = this.#strength
    if (values[hot] === values[to]) return this.#delta(hot, -transfer) + this.#delta(to, transfer)
    const held = this.#flow.held(layout, segment)
    const next = work[segment]! / (held - values[hot]! + values[to]!)
    const change = next - work[segment]! / held
    let delta = this.#delta(hot, -transfer) + this.#delta(to, next * values[to]!)
    for (let i = 0; i < layout.instances; i++)
      if (i !== hot && layout.holds(segment, i)) delta += this.#delta(i, change * values[i]!)
    return delta
  }

  /** A replica more (`sign` 1) or less (-1) at an instance: what it does to the sum of squares. */
  #shareDelta(segment: number, at: number, work: ArrayLike<number>, layout: Layout, sign: 1 | -1): number {
    const { values } = this.#strength
    const held = this.#flow.held(layout, segment)
    const unit = work[segment]! / held
    const next = work[segment]! / (held + sign * values[at]!)
    const change = next - unit
    let delta = this.#delta(at, sign > 0 ? next * values[at]! : -unit * values[at]!)
    for (let i = 0; i < layout.instances; i++)
      if (i !== at && layout.holds(segment, i)) delta += this.#delta(i, change * values[i]!)
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
        const isLastUp = this.#flow.held(layout, s) - this.#strength.values[i]! <= 0
        const delta = isLastUp ? Infinity : this.#shareDelta(s, i, work, layout, -1)
        if (delta >= least) continue
        least = delta
        at = s * layout.instances + i
      }
    }
    if (at < 0 || !(-(least + step.delta) > LEAST_GAIN * mean * mean)) return false
    this.#share(Math.floor(at / layout.instances), at % layout.instances, work, layout, -1)
    return true
  }

  #move(step: Step, work: ArrayLike<number>, layout: Layout, hot: number): void {
    const { loads } = this.#flow
    const { values } = this.#strength
    if (values[hot] === values[step.to]) {
      loads[hot]! -= step.transfer
      loads[step.to]! += step.transfer
      layout.drop(step.segment, hot)
      layout.add(step.segment, step.to)
      return
    }
    layout.drop(step.segment, hot)
    layout.add(step.segment, step.to)
    this.#flow.route(work, layout, 'equal', this.#strength)
  }

  /** Adds (`sign` 1) or drops (-1) a replica and shares the segment anew among those that hold it. */
  #share(segment: number, at: number, work: ArrayLike<number>, layout: Layout, sign: 1 | -1): void {
    const { loads } = this.#flow
    const { values } = this.#strength
    const held = this.#flow.held(layout, segment)
    const unit = work[segment]! / held
    const next = work[segment]! / (held + sign * values[at]!)
    const change = next - unit
    for (let i = 0; i < layout.instances; i++)
      if (i !== at && layout.holds(segment, i)) loads[i]! += change * values[i]!
    loads[at]! += sign > 0 ? next * values[at]! : -unit * values[at]!
    if (sign > 0) layout.add(segment, at)
    else layout.drop(segment, at)
  }
}

/** The same on water-filled loads; a copy is preferred to a move that gains as much. */
class LivePlanner implements Planner {
  readonly #flow: Flow
  readonly #even: Strength

  constructor(segments: number, instances: number) {
    this.#flow = new Flow(segments, instances)
    this.#even = evenStrength(instances)
  }

  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits, strength = this.#even): number {
    let copies = 0
    while (copies < limits.copies) {
      this.#flow.route(work, layout, 'live', strength)
      const mean = this.#flow.meanLevel()
      const hot = this.#flow.hottest()
      if (!(this.#flow.level(hot) > TOLERANCE * mean) || strength.values[hot] === 0) break
      const step = this.#best(layout, hot, strength)
      if (!(-step.delta > LEAST_GAIN * mean * mean)) break
      this.#take(step, layout, hot, limits.cap, strength)
      copies++
    }
    return copies
  }

  #best(layout: Layout, hot: number, strength: Strength): Step {
    const { shares } = this.#flow
    const { values } = strength
    let best = NO_STEP
    for (let segment = 0; segment < layout.segments; segment++) {
      const share = shares[segment * layout.instances + hot]!
      if (!layout.holds(segment, hot) || !(share > 0)) continue
      const to = coldestWithout(this.#flow, strength, layout, segment)
      if (to < 0) continue
      const gap = this.#flow.level(hot) - this.#flow.level(to)
      // 2 where both have strength 1: what levels come together by for a unit of work.
      const close = 1 / values[hot]! + 1 / values[to]!
      const transfer = Math.min(share, gap / close)
      const copy = 2 * transfer * ((transfer * close) / 2 - gap)
      if (copy < best.delta) best = { delta: copy, kind: 'copy', segment, to, transfer }
      const move = 2 * share * ((share * close) / 2 - gap)
      if (move < best.delta) best = { delta: move, kind: 'move', segment, to, transfer: share }
    }
    return best
  }

  /** At the cap the least used replica goes, or a plain move is made if that one carries more than half the transfer. */
  #take(step: Step, layout: Layout, hot: number, cap: number, strength: Strength): void {
    let isMove = step.kind === 'move'
    if (!isMove && layout.total >= cap) {
      const least = leastUsed(this.#flow, layout, strength)
      if (least < 0 || this.#flow.shares[least]! > step.transfer / 2) isMove = true
      else layout.drop(Math.floor(least / layout.instances), least % layout.instances)
    }
    if (isMove) layout.drop(step.segment, hot)
    layout.add(step.segment, step.to)
  }
}

/** Index (`segment * instances + instance`) of the replica that carries least, where there is another one; -1 if none. */
function leastUsed(flow: Flow, layout: Layout, { values }: Strength): number {
  const { shares } = flow
  let least = -1
  for (let s = 0; s < layout.segments; s++) {
    if (layout.count[s]! < 2) continue
    for (let i = 0; i < layout.instances; i++) {
      const at = s * layout.instances + i
      if (layout.has[at] !== 1 || (least >= 0 && shares[at]! >= shares[least]!)) continue
      if (flow.held(layout, s) - values[i]! > 0) least = at
    }
  }
  return least
}
