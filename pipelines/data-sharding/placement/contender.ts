import type { ByteReader, ByteWriter } from '#core/math'
import { distance } from './approach.ts'
import { stepCost, totalWork } from './cost.ts'
import { evacuate } from './evacuate.ts'
import type { Flow, Routing } from './flow.ts'
import { type Layout, rendezvousLayout } from './layout.ts'
import { createMover, type Style } from './mover.ts'
import type { Planner, PlanLimits } from './planner.ts'
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
  /** With less work than this in a step nobody waits. */
  readonly quietBelow: number
  readonly strength: Strength
}

/** Too little came for anybody to wait: balance does not count. */
export const isQuiet = ({ came, quietBelow }: ContenderStep): boolean => totalWork(came) < quietBelow

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
  readonly #scope: PlanScope
  /** What serves now: the layout of a step before. */
  readonly #serving: Layout
  readonly #mover: Planner

  constructor(name: Name, scope: PlanScope, style: Style) {
    const { segments, instances, routing } = scope
    this.name = name
    this.#scope = scope
    this.layout = rendezvousLayout(segments, instances)
    this.#serving = this.layout.clone()
    this.#mover = createMover(segments, instances, routing, style)
  }

  /** Starts from a layout that stands already. */
  adopt(layout: Layout): void {
    this.layout.copyFrom(layout)
    this.#serving.copyFrom(layout)
  }

  /** Serves what came, then plans for the work expected; returns what the step cost. */
  plan(step: ContenderStep, work: Float64Array, flow: Flow): number {
    return this.#step(step, flow, () => this.move(work, this.layout, step))
  }

  /**
   * Goes one step on from any layout as this plan would; returns the copies started. Where a quiet step is expected only
   * what would be unreachable is placed elsewhere: a layout for the few reads of a night would be undone in the morning.
   */
  move(work: Float64Array, layout: Layout, { strength, quietBelow }: ContenderStep): number {
    const { limits } = this.#scope
    const copies = evacuate(work, layout, strength, limits)
    if (totalWork(work) < quietBelow) return copies
    const left = { copies: limits.copies - copies, cap: limits.cap }
    return copies + this.#mover.plan(work, layout, left, strength)
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

  #step(step: ContenderStep, flow: Flow, plan: () => number): number {
    flow.route(step.came, this.#serving, this.#scope.routing, step.strength)
    const ratio = isQuiet(step) ? 1 : flow.imbalance()
    this.#serving.copyFrom(this.layout)
    return stepCost(ratio, plan())
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    putLayout(out, this.layout)
    putLayout(out, this.#serving)
    out.f64(this.cost)
  }

  /** Reads a state of the same scope. */
  decode(from: ByteReader): void {
    takeLayout(from, this.layout)
    takeLayout(from, this.#serving)
    this.cost = from.f64()
  }
}
