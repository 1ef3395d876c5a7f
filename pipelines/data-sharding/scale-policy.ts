import type { ByteReader, ByteWriter } from '#core/math'
import { LateBudget } from './late-budget.ts'
import { type AnnouncedTotal, type TotalForecast, TotalForecaster } from './predict/index.ts'

/** What the scaler is told. */
export interface ScaleOptions {
  readonly day: number
  readonly week: number
  /** Steps until an instance that is asked for is up. */
  readonly leadSteps: number
  /** Steps that fewer must be wanted before there are fewer. */
  readonly patience: number
  /** Share of all work that may be late. */
  readonly lateShare: number
  /** Work per step that one instance can do, unless told otherwise. */
  readonly capacity: number
  readonly min: number
  readonly max: number
  readonly announced: AnnouncedTotal
}

/** How many instances to have, and why. */
export interface ScaleWish {
  readonly instances: number
  readonly q10: number
  readonly q50: number
  readonly q90: number
  readonly q99: number
  /** P(work above what `instances` can do in time), 0..1. */
  readonly risk: number
  /** What 0, 1, ... up to the most instances cost, in work: their price, and the work that is expected to be late. */
  readonly costs: readonly number[]
}

/** Load that an instance serves within ten service times: 1 + r / (2 (1 - r)) = 10 (M/D/1) at r = 0.947. */
const FULL = 0.945
const LEVELS = 40
/** Steps beyond the lead that are looked at, to see whether fewer will do from then on. */
const BEYOND = 2

/**
 * Instances for the peak that an order placed now will meet: as many as cost least with the work that would be late
 * (newsvendor: at a busy hour a crowd makes more work late, so more is kept in reserve than at night), at the price that
 * keeps the share of late work as stated. What is there already is let go only when it is not needed any more, so that
 * wishes fall ahead of the load by as long as fewer must be wanted. Pure: a function of what was observed.
 */
export class ScalePolicy {
  readonly #options: ScaleOptions
  readonly #total: TotalForecaster
  readonly #budget: LateBudget
  /** What was wanted in the last steps but this one, oldest first. */
  readonly #wants: number[] = []

  constructor(options: ScaleOptions) {
    const { day, week, leadSteps, patience, announced, lateShare } = options
    this.#options = options
    const last = Math.max(leadSteps, Math.min(patience - 1, leadSteps + BEYOND))
    this.#total = new TotalForecaster(day, week, last + 1, announced)
    this.#budget = new LateBudget({ share: lateShare, leadSteps, day, memory: 8 * week })
  }

  /** Takes the next total in. */
  observe(total: number): void {
    this.#total.observe(total)
    this.#budget.observe(total)
  }

  /** What to have once an order placed now is up; ask once per step. */
  wanted(capacity = this.#options.capacity): ScaleWish {
    const { leadSteps, patience } = this.#options
    const forecasts = this.#total.forecast()
    const costs = forecasts.map((forecast) => this.#costs(forecast, capacity))
    const needs = forecasts.map((forecast, k) => this.#need(forecast, costs[k]!, capacity))
    const ahead = forecasts[leadSteps]!
    // What will be there: what is needed, or what former wishes still hold.
    const limit = FULL * capacity * Math.max(needs[leadSteps]!, this.#held(leadSteps))
    this.#budget.expect(ahead.mean, ahead.above(limit), limit)
    const instances = this.#wish(needs)
    this.#wants.push(instances)
    if (this.#wants.length >= patience) this.#wants.shift()
    let above = 0
    for (let k = 0; k < LEVELS; k++)
      if (ahead.quantile((k + 0.5) / LEVELS) > FULL * capacity * instances) above++
    return {
      instances,
      q10: ahead.quantile(0.1),
      q50: ahead.quantile(0.5),
      q90: ahead.quantile(0.9),
      q99: ahead.quantile(0.99),
      risk: above / LEVELS,
      costs: costs[leadSteps]!,
    }
  }

  /** The count that costs least with the work that it would make late. */
  #need(forecast: TotalForecast, costs: readonly number[], capacity: number): number {
    const { min, max } = this.#options
    // Beyond what the most can serve in time every count costs the same late work: then each instance still shortens it.
    if (forecast.mean > FULL * capacity * max) return max
    const possible = costs.slice(min)
    return min + possible.indexOf(Math.min(...possible))
  }

  #costs(forecast: TotalForecast, capacity: number): number[] {
    const price = this.#budget.price * capacity
    return Array.from(
      { length: this.#options.max + 1 },
      (_, n) => price * n + forecast.above(FULL * capacity * n),
    )
  }

  /** What former wishes hold until so many steps from now. */
  #held(steps: number): number {
    const first = this.#wants.length - (this.#options.patience - 1) + steps
    return this.#wants.slice(Math.max(0, first)).reduce((a, b) => Math.max(a, b), 0)
  }

  /** The least wish by which all is there when it is needed: more is ordered, what is there and will be needed is held. */
  #wish(needs: readonly number[]): number {
    const { leadSteps, patience, min } = this.#options
    const there = this.#held(0)
    let wish = min
    for (let k = 1; k <= leadSteps; k++) {
      const need = k < leadSteps ? Math.min(needs[k]!, there) : needs[k]!
      if (need > this.#held(k)) wish = Math.max(wish, need)
    }
    const last = needs.length - 1
    return patience > leadSteps ? Math.max(wish, Math.min(needs[last]!, this.#held(leadSteps))) : wish
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    this.#total.encode(out)
    this.#budget.encode(out)
    out.varint(this.#wants.length)
    for (const n of this.#wants) out.varint(n)
  }

  /** Reads a state of the same options. */
  decode(from: ByteReader): void {
    this.#total.decode(from)
    this.#budget.decode(from)
    this.#wants.splice(0, Infinity, ...Array.from({ length: from.varint() }, () => from.varint()))
  }
}
