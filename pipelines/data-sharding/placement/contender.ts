import type { ByteReader, ByteWriter } from '#core/math'
import { distance } from './approach.ts'
import { stepCost } from './cost.ts'
import { evacuate } from './evacuate.ts'
import type { Flow, Routing } from './flow.ts'
import { type Layout, rendezvousLayout } from './layout.ts'
import { createPlanner, type Planner, type PlanLimits } from './planner.ts'
import { Spreader, type SpreadRule } from './spreader.ts'
import type { Strength } from './strength.ts'

/** Size of what is planned. */
export interface PlanScope {
  readonly segments: number
  readonly instances: number
  readonly routing: Routing
  readonly limits: PlanLimits
}

/** What a contender is told in a step. */
export interface ContenderStep {
  /** Work that came in the last step, by segment. */
  readonly came: Float64Array
  /** Too little came for anybody to wait: balance does not count. */
  readonly isQuiet: boolean
  readonly strength: Strength
}

/** Appends a layout. */
export const putLayout = (out: ByteWriter, layout: Layout): void => out.bytes(layout.has)

/** Reads a layout in place. */
export function takeLayout(from: ByteReader, layout: Layout): void {
  const has = from.bytes(layout.has.length)
  for (let at = 0; at < has.length; at++) {
    const s = Math.floor(at / layout.instances)
    const i = at % layout.instances
    if (has[at] === 1 && !layout.holds(s, i)) layout.add(s, i)
    if (has[at] !== 1 && layout.holds(s, i)) layout.drop(s, i)
  }
}

/** One plan, kept beside others on the loads that came, as if it alone had been in force from the start. */
export class Contender<Name extends string> {
  readonly name: Name
  readonly layout: Layout
  /** Mean cost of a step over the memory. */
  cost = 0
  /** The same over the last days. */
  lately = 0
  readonly #scope: PlanScope
  /** What serves now: the layout of a step before. */
  readonly #serving: Layout
  readonly #planner: Planner
  readonly #spreader: Spreader | null

  constructor(name: Name, scope: PlanScope, spread: SpreadRule | null) {
    const { segments, instances, routing } = scope
    this.name = name
    this.#scope = scope
    this.layout = rendezvousLayout(segments, instances)
    this.#serving = this.layout.clone()
    this.#planner = createPlanner(segments, instances, routing)
    this.#spreader = spread === null ? null : new Spreader(segments, instances, routing, spread)
  }

  /** Starts from a layout that stands already. */
  adopt(layout: Layout): void {
    this.layout.copyFrom(layout)
    this.#serving.copyFrom(layout)
  }

  /** Serves what came, then plans for the work expected; returns what the step cost. */
  plan(step: ContenderStep, work: Float64Array, flow: Flow): number {
    const { limits } = this.#scope
    return this.#step(step, flow, () => {
      let copies = evacuate(work, this.layout, step.strength, limits)
      const left = () => ({ copies: limits.copies - copies, cap: limits.cap })
      copies += this.#planner.plan(work, this.layout, left(), step.strength)
      if (this.#spreader !== null) copies += this.#spreader.spread(work, this.layout, left(), step.strength)
      return copies
    })
  }

  /** Serves what came, then takes a layout on at once, or stays where `target` is null; returns what the step cost. */
  set(step: ContenderStep, work: Float64Array, target: Layout | null, flow: Flow): number {
    const { limits } = this.#scope
    return this.#step(step, flow, () => {
      const copies = target === null ? 0 : distance(this.layout, target)
      if (target !== null) this.layout.copyFrom(target)
      const left = { copies: limits.copies - copies, cap: limits.cap }
      return copies + evacuate(work, this.layout, step.strength, left)
    })
  }

  #step({ came, isQuiet, strength }: ContenderStep, flow: Flow, plan: () => number): number {
    flow.route(came, this.#serving, this.#scope.routing, strength)
    const ratio = isQuiet ? 1 : flow.imbalance()
    this.#serving.copyFrom(this.layout)
    return stepCost(ratio, plan())
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    putLayout(out, this.layout)
    putLayout(out, this.#serving)
    out.f64(this.cost)
    out.f64(this.lately)
  }

  /** Reads a state of the same scope. */
  decode(from: ByteReader): void {
    takeLayout(from, this.layout)
    takeLayout(from, this.#serving)
    this.cost = from.f64()
    this.lately = from.f64()
  }
}
