import type { ByteReader, ByteWriter } from '#core/math'
import { type AnnouncedTotal, TotalForecaster } from './predict/index.ts'

/** What the scaler is told. */
export interface ScaleOptions {
  readonly day: number
  readonly week: number
  /** Steps until an instance that is asked for is up. */
  readonly leadSteps: number
  /** Work per step that one instance can do, unless told otherwise. */
  readonly capacity: number
  readonly min: number
  readonly max: number
  readonly announced: AnnouncedTotal
}

/** How many instances to have, and why. */
export interface ScaleWish {
  readonly instances: number
  readonly q50: number
  readonly q90: number
  readonly q99: number
  /** P(work above what `instances` can do in time), 0..1. */
  readonly risk: number
}

/** Load that an instance serves within ten service times: 1 + r / (2 (1 - r)) = 10 (M/D/1) at r = 0.947. */
const FULL = 0.945
/** What an instance costs for a step, as a share of what it can do, against work that is late. */
const PRICE = 0.05
const LEVELS = 40

/**
 * Instances for the peak that an order placed now will meet: as many as cost least with the work that would be late
 * (newsvendor: at a busy hour a crowd makes more work late, so more is kept in reserve than at night). Pure: a
 * function of what was observed.
 */
export class ScalePolicy {
  readonly #options: ScaleOptions
  readonly #ahead: TotalForecaster
  readonly #next: TotalForecaster

  constructor(options: ScaleOptions) {
    const { day, week, leadSteps, announced } = options
    this.#options = options
    this.#ahead = new TotalForecaster(day, week, leadSteps + 1, announced)
    this.#next = new TotalForecaster(day, week, 1, announced)
  }

  /** Takes the next total in. */
  observe(total: number): void {
    this.#ahead.observe(total)
    this.#next.observe(total)
  }

  /** What to have once an order placed now is up; ask once per step. */
  wanted(capacity = this.#options.capacity): ScaleWish {
    const { min, max } = this.#options
    const ahead = this.#ahead.forecast()
    const next = this.#next.forecast()
    let instances = min
    let least = Infinity
    for (let n = min; n <= max; n++) {
      const served = FULL * capacity * n
      const cost = PRICE * capacity * n + Math.max(ahead.above(served), next.above(served))
      if (cost >= least) continue
      least = cost
      instances = n
    }
    // Beyond what the most can serve in time every count costs the same late work: then each instance still shortens it.
    if (Math.max(ahead.quantile(0.5), next.quantile(0.5)) > FULL * capacity * max) instances = max
    let above = 0
    for (let k = 0; k < LEVELS; k++)
      if (ahead.quantile((k + 0.5) / LEVELS) > FULL * capacity * instances) above++
    return {
      instances,
      q50: ahead.quantile(0.5),
      q90: ahead.quantile(0.9),
      q99: ahead.quantile(0.99),
      risk: above / LEVELS,
    }
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    this.#ahead.encode(out)
    this.#next.encode(out)
  }

  /** Reads a state of the same options. */
  decode(from: ByteReader): void {
    this.#ahead.decode(from)
    this.#next.decode(from)
  }
}
