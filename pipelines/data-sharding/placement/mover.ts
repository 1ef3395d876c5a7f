import type { Routing } from './flow.ts'
import type { Layout } from './layout.ts'
import { createPlanner, type Planner, type PlanLimits } from './planner.ts'
import { RiskPlanner, type RiskRule } from './risk-planner.ts'
import { Spreader, type SpreadRule } from './spreader.ts'
import type { Strength } from './strength.ts'

/** How a plan changes a layout: the protocol's planner with spreading what copies are left, or the planner by risk. */
export type Style =
  | { readonly kind: 'spread'; readonly rule: SpreadRule }
  | { readonly kind: 'risk'; readonly rule: RiskRule }

/** The planner of a style. */
export const createMover = (segments: number, instances: number, routing: Routing, style: Style): Planner =>
  style.kind === 'risk'
    ? new RiskPlanner(segments, instances, style.rule)
    : new SpreadingPlanner(segments, instances, routing, style.rule)

class SpreadingPlanner implements Planner {
  readonly #planner: Planner
  readonly #spreader: Spreader

  constructor(segments: number, instances: number, routing: Routing, rule: SpreadRule) {
    this.#planner = createPlanner(segments, instances, routing)
    this.#spreader = new Spreader(segments, instances, routing, rule)
  }

  plan(work: ArrayLike<number>, layout: Layout, limits: PlanLimits, strength?: Strength): number {
    const copies = this.#planner.plan(work, layout, limits, strength)
    const left = { copies: limits.copies - copies, cap: limits.cap }
    return copies + this.#spreader.spread(work, layout, left, strength)
  }
}
