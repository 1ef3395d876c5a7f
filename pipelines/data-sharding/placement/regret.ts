import type { ByteReader, ByteWriter } from '#core/math'

/** When a plan is left for another. */
export interface RegretRule {
  /** Steps after which evidence counts 1/e. */
  readonly memory: number
  /** Regret that is not acted on: over the memory, so much less a step is as good. */
  readonly least: number
  /** Standard deviations of chance that it must exceed. */
  readonly deviations: number
  /** One step counts no more than this: no accident decides. */
  readonly most: number
}

/**
 * What it cost to be where we are rather than under each other plan, discounted: prediction with expert advice where
 * switching has a price (Herbster and Warmuth 1998; lazily, as task systems do: Borodin, Linial and Saks 1992).
 */
export class Regrets {
  readonly #rule: RegretRule
  readonly #sums: Float64Array
  readonly #squares: Float64Array

  constructor(plans: number, rule: RegretRule) {
    this.#rule = rule
    this.#sums = new Float64Array(plans)
    this.#squares = new Float64Array(plans)
  }

  /** A step that cost us `ours` would have cost `other` under a plan. */
  add(plan: number, ours: number, other: number): void {
    const { memory, most } = this.#rule
    const less = Math.max(-most, Math.min(most, ours - other))
    this.#sums[plan]! += less - this.#sums[plan]! / memory
    this.#squares[plan]! += less * less - this.#squares[plan]! / memory
  }

  /** Regret of a plan beyond what is not acted on: positive once it pays `price` to go there. */
  beyond(plan: number, price: number): number {
    const { least, deviations } = this.#rule
    const chance = deviations * Math.sqrt(this.#squares[plan]!)
    return this.#sums[plan]! - Math.max(least, chance) - price
  }

  /** Forgets all: what was, was under another plan. */
  reset(): void {
    this.#sums.fill(0)
    this.#squares.fill(0)
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    for (const x of [...this.#sums, ...this.#squares]) out.f64(x)
  }

  /** Reads a state of as many plans. */
  decode(from: ByteReader): void {
    for (const values of [this.#sums, this.#squares])
      for (let k = 0; k < values.length; k++) values[k] = from.f64()
  }
}
