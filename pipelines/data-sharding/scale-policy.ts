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
  /** P(work above what `instances` can do at `FULL`), 0..1. */
  readonly risk: number
}

const FULL = 0.92
const QUANTILE = 0.98
const LEVELS = 40

/**
 * Instances for the peak that an order placed now will meet: a high quantile of the forecast at a load that still keeps
 * the latency. Pure: a function of what was observed.
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
    const peak = Math.max(ahead.quantile(QUANTILE), next.quantile(QUANTILE))
    const instances = Math.min(max, Math.max(min, Math.ceil(peak / (FULL * capacity) - 1e-9)))
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
