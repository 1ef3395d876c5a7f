import { Flow, type Routing } from './flow.ts'
import type { Layout } from './layout.ts'
import { coldestWithout, type PlanLimits } from './planner.ts'
import { evenStrength, type Strength } from './strength.ts'

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

/** The holder with the highest level, of those that are not the last one up; -1 if there is none. */
function hottestHolder(flow: Flow, { values }: Strength, layout: Layout, segment: number): number {
  let at = -1
  for (let i = 0; i < layout.instances; i++) {
    if (!layout.holds(segment, i) || (at >= 0 && flow.level(i) <= flow.level(at))) continue
    if (flow.held(layout, segment) - values[i]! > 0) at = i
  }
  return at
}

/** Spends copies that are left on a second replica of the hottest segments that have one only. Returns the copies. */
export class Spreader {
  readonly #flow: Flow
  readonly #routing: Routing
  readonly #rule: SpreadRule
  readonly #even: Strength

  constructor(segments: number, instances: number, routing: Routing, rule: SpreadRule = PROTOCOL_SPREAD) {
    this.#flow = new Flow(segments, instances)
    this.#routing = routing
    this.#rule = rule
    this.#even = evenStrength(instances)
  }

  spread(work: ArrayLike<number>, layout: Layout, limits: PlanLimits, strength = this.#even): number {
    let copies = 0
    for (; copies < limits.copies; copies++) {
      this.#flow.route(work, layout, this.#routing, strength)
      let hot = -1
      for (let s = 0; s < layout.segments; s++)
        if (layout.count[s] === 1 && (hot < 0 || work[s]! > work[hot]!)) hot = s
      if (hot < 0 || !(work[hot]! > 0)) break
      if (layout.total >= limits.cap) {
        const cold = coldestReplica(work, layout)
        const least = this.#rule.least * this.#flow.meanLevel()
        if (cold < 0 || work[hot]! < this.#rule.ratio * work[cold]! + least) break
        const from = hottestHolder(this.#flow, strength, layout, cold)
        if (from < 0) break
        layout.drop(cold, from)
        this.#flow.route(work, layout, this.#routing, strength)
      }
      const to = coldestWithout(this.#flow, strength, layout, hot)
      if (to < 0) break
      layout.add(hot, to)
    }
    return copies
  }
}
