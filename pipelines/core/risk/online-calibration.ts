import type { ByteReader, ByteWriter } from '#core/math'
import { logOddsOf, OnlineLogistic, type WeightPrior } from './online-logistic.ts'

/** Settings of an online calibration. */
export interface OnlineCalibrationOptions {
  /**
   * Weight of an outcome after one more: 0.9998 looks back some thousand outcomes. Those of a whole scope are pooled,
   * so that a day of 100 series is many times that. Default 0.9998.
   */
  readonly forgetting?: number
}

/** The constant, the raw probability, how near the limit was, and the direct estimate. */
const PRIORS: readonly WeightPrior[] = [
  { start: 0, variance: 1, least: -10, most: 10 },
  { start: 1, variance: 0.25, least: 0.05, most: 5 },
  { start: 0, variance: 0.25, least: 0, most: 10 },
  { start: 0, variance: 0.25, least: 0, most: 5 },
]

/**
 * Calibration that follows its outcomes: log-odds = a + b * log-odds(raw) + c * near + d * log-odds(direct), after
 * Platt (1999), by a recursive Newton step per outcome with exponential forgetting. `near` is how far
 * beyond (above 0) or short of its limit (below 0) the worst value of the horizon before was: a level that the forecast does not believe in may stay. `direct` is
 * what a slower learner says of the same horizon (direct-risk.ts). b stays above 0, so that of two risks that differ in the raw probability alone the greater
 * is never said to be less. It begins as the identity. O(1) per outcome; 20 numbers of state.
 */
export class OnlineCalibration {
  readonly #map: OnlineLogistic
  readonly #terms = Float64Array.of(1, 0, 0, 0)

  constructor(options: OnlineCalibrationOptions = {}) {
    this.#map = new OnlineLogistic(PRIORS, options.forgetting ?? 0.9998)
  }

  /** Outcomes learnt so far. */
  get outcomes(): number {
    return this.#map.outcomes
  }

  /** The calibrated probability, 0..1; never decreasing in `raw`, `near` or `direct`. */
  calibrate(raw: number, near = 0, direct = raw): number {
    return Number.isFinite(raw) ? this.#map.probability(this.#termsOf(raw, near, direct)) : raw
  }

  /** Learns what became of a raw probability; one that is not finite teaches nothing. */
  learn(raw: number, crossed: boolean, near = 0, direct = raw): void {
    if (Number.isFinite(raw)) this.#map.learn(this.#termsOf(raw, near, direct), crossed)
  }

  #termsOf(raw: number, near: number, direct: number): Float64Array {
    this.#terms[1] = logOddsOf(raw)
    this.#terms[2] = near
    this.#terms[3] = logOddsOf(direct)
    return this.#terms
  }

  encode(writer: ByteWriter): void {
    this.#map.encode(writer)
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.#map.decode(reader)
  }
}
