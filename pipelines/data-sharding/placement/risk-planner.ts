import { Flow } from './flow.ts'
import type { Layout } from './layout.ts'
import { coldestWithout, type Planner, type PlanLimits } from './planner.ts'
import { evenStrength, type Strength } from './strength.ts'

/** When replicas change places for the sake of what may come. */
export interface RiskRule {
  /** Standard deviation of a segment's work, as a share of what is expected; chance (Poisson) comes beside it. */
  readonly spread: number
  /** A replica gives its place up to one that saves so many times as much variance, ... */
  readonly ratio: number
  /** ... and this share of the square of an instance's mean beyond. */
  readonly least: number
}

const TOLERANCE = 1.05
const LEAST_GAIN = 1e-9
const square = (x: number) => x * x

/** A replica to add, move or drop; `delta` is what that does to the objective. */
interface Change {
  readonly delta: number
  readonly segment: number
  readonly at: number
}

const NONE: Change = { delta: Infinity, segment: -1, at: -1 }

/**
 * Planner for reads that are split evenly: least expected sum of squared loads. With work of mean m and variance v, a segment
 * on r instances adds v / r to it beside the squares of the means, so that work that is large and uncertain is best laid out wide:
 * a surge of a segment that lies everywhere moves no instance above the mean. While an instance is expected above 1.05 of
 * the mean, changes take what lowers the objective most; copies left over go where they save most variance.
 */
export class RiskPlanner implements Planner {
  readonly #flow: Flow
  readonly #rule: RiskRule
  readonly #even: Strength
  #strength: Strength

  constructor(segments: number, instances: number, rule: RiskRule) {
    this.#flow = new Flow(segments, instances)
    this.#rule = rule
    this.#even = evenStrength(instances)
    this.#strength = this.#even
  }

  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits, strength = this.#even): number {
    this.#strength = strength
    this.#flow.route(work, layout, 'equal', strength)
    const mean = this.#flow.meanLevel()
    if (!(mean > 0)) return 0
    let copies = 0
    for (; copies < limits.copies; copies++) {
      const hot = this.#flow.hottest()
      const isUneven = this.#flow.level(hot) > TOLERANCE * mean && strength.values[hot]! > 0
      const went = isUneven
        ? this.#levelOut(work, layout, hot, limits.cap, LEAST_GAIN * mean * mean)
        : this.#widen(work, layout, limits.cap, this.#rule.least * mean * mean)
      if (!went) break
    }
    return copies
  }

  #variance(work: number): number {
    return work + square(this.#rule.spread * work)
  }

  /** Takes the best change for the means and the variance; false if none gains. */
  #levelOut(work: ArrayLike<number>, layout: Layout, hot: number, cap: number, least: number): boolean {
    const move = this.#bestMove(work, layout, hot)
    const add = this.#bestAdd(work, layout)
    const isFull = layout.total >= cap
    const drop = isFull && add.segment >= 0 ? this.#bestDrop(work, layout, add.segment) : NONE
    const gain = isFull ? add.delta + drop.delta : add.delta
    if (move.delta <= gain) {
      if (!(-move.delta > least)) return false
      layout.drop(move.segment, hot)
      layout.add(move.segment, move.at)
    } else {
      if (!(-gain > (isFull ? least : 0))) return false
      if (isFull) {
        layout.drop(drop.segment, drop.at)
        this.#flow.route(work, layout, 'equal', this.#strength)
      }
      layout.add(add.segment, coldestWithout(this.#flow, this.#strength, layout, add.segment))
    }
    this.#flow.route(work, layout, 'equal', this.#strength)
    return true
  }

  /** One replica more for the segment that it saves most variance, at the cap in exchange for the one that saves least. */
  #widen(work: ArrayLike<number>, layout: Layout, cap: number, least: number): boolean {
    const { values } = this.#strength
    const flow = this.#flow
    let wide = -1
    let most = 0
    let cold = -1
    let loss = Infinity
    for (let s = 0; s < layout.segments; s++) {
      const held = flow.held(layout, s)
      const v = this.#variance(work[s]!)
      if (!(held > 0)) continue
      if (layout.count[s]! < layout.instances && v / (held * (held + 1)) > most) {
        if (coldestWithout(flow, this.#strength, layout, s) >= 0) {
          most = v / (held * (held + 1))
          wide = s
        }
      }
      if (layout.count[s]! > 1 && held > 1 && v / (held * (held - 1)) < loss) {
        loss = v / (held * (held - 1))
        cold = s
      }
    }
    if (wide < 0) return false
    if (layout.total >= cap) {
      if (cold < 0 || cold === wide || most < this.#rule.ratio * loss + least) return false
      let from = -1
      for (let i = 0; i < layout.instances; i++) {
        const isSpare = layout.holds(cold, i) && flow.held(layout, cold) - values[i]! > 0
        if (isSpare && (from < 0 || flow.level(i) > flow.level(from))) from = i
      }
      if (from < 0) return false
      layout.drop(cold, from)
      flow.route(work, layout, 'equal', this.#strength)
    }
    layout.add(wide, coldestWithout(flow, this.#strength, layout, wide))
    flow.route(work, layout, 'equal', this.#strength)
    return true
  }

  /** What `change` of the load of an instance does to the sum of squares by strength. */
  #delta(instance: number, change: number): number {
    const load = this.#flow.loads[instance]!
    const strength = this.#strength.values[instance]!
    return strength > 0 ? (square(load + change) - square(load)) / strength : 0
  }

  /** A replica more (`sign` 1) or less (-1) at an instance: what it does to the objective; infinite for the last one up. */
  #shareDelta(segment: number, at: number, work: number, layout: Layout, sign: 1 | -1): number {
    const { values } = this.#strength
    const held = this.#flow.held(layout, segment)
    const next = held + sign * values[at]!
    if (!(held > 0) || !(next > 0)) return Infinity
    const change = work / next - work / held
    let delta = this.#delta(at, sign > 0 ? (work / next) * values[at]! : (-work / held) * values[at]!)
    for (let i = 0; i < layout.instances; i++)
      if (i !== at && layout.holds(segment, i)) delta += this.#delta(i, change * values[i]!)
    return delta + this.#variance(work) * (1 / next - 1 / held)
  }

  #bestAdd(work: ArrayLike<number>, layout: Layout): Change {
    let best: Change = { ...NONE, delta: 0 }
    for (let segment = 0; segment < layout.segments; segment++) {
      if (!(work[segment]! > 0)) continue
      const at = coldestWithout(this.#flow, this.#strength, layout, segment)
      if (at < 0) continue
      const delta = this.#shareDelta(segment, at, work[segment]!, layout, 1)
      if (delta < best.delta) best = { delta, segment, at }
    }
    return best.segment < 0 ? NONE : best
  }

  /** The replica whose loss costs least, of another segment than `not`. */
  #bestDrop(work: ArrayLike<number>, layout: Layout, not: number): Change {
    let best = NONE
    for (let segment = 0; segment < layout.segments; segment++) {
      if (layout.count[segment]! < 2 || segment === not) continue
      for (let at = 0; at < layout.instances; at++) {
        if (!layout.holds(segment, at)) continue
        const delta = this.#shareDelta(segment, at, work[segment]!, layout, -1)
        if (delta < best.delta) best = { delta, segment, at }
      }
    }
    return best
  }

  /** The best move of a replica from the hottest instance to the coldest without one. */
  #bestMove(work: ArrayLike<number>, layout: Layout, hot: number): Change {
    const { values } = this.#strength
    let best: Change = { ...NONE, delta: 0 }
    for (let segment = 0; segment < layout.segments; segment++) {
      if (!layout.holds(segment, hot) || !(work[segment]! > 0)) continue
      const at = coldestWithout(this.#flow, this.#strength, layout, segment)
      if (at < 0) continue
      // By the strength that both places have in the mean: exact where they are equally strong.
      const share = (work[segment]! / this.#flow.held(layout, segment)) * values[hot]!
      const delta = this.#delta(hot, -share) + this.#delta(at, share)
      if (delta < best.delta) best = { delta, segment, at }
    }
    return best
  }
}
