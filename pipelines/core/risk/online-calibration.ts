import type { ByteReader, ByteWriter } from '#core/math'

/** Settings of an online calibration. */
export interface OnlineCalibrationOptions {
  /**
   * Weight of an outcome after one more: 0.999 looks back some thousand outcomes. Those of a whole scope are pooled,
   * so that a day of 100 series is many times that. Default 0.999.
   */
  readonly forgetting?: number
}

/** Probabilities closer to 0 or 1 say that nothing can happen: no log-odds could be learnt from them. */
const EDGE = 1e-4
/** Least curvature of an outcome: a sure one that fails moves the map, but not without bounds. */
const LEAST_CURVATURE = 0.02
/** The constant, the raw probability, the share of crossings lately, and how near the limit was: their weights at first, bounds and variances. */
const START = [0, 1, 0, 0] as const
const LEAST = [-10, 0.05, 0, 0] as const
const MOST = [10, 5, 2, 10] as const
const START_VARIANCE = [1, 0.25, 0.25, 0.25] as const
/** Largest of the variances: without outcomes of one kind, forgetting must not forget everything. */
const MOST_VARIANCE = 4
const TERMS = START.length
/** Log-odds of the share lately are counted from here: a series without a past neither raises nor lowers. */
const NO_PAST = 0.1

/**
 * Calibration that follows its outcomes: log-odds = a + b * log-odds(raw) + c * (log-odds(lately) - log-odds(0.1)) + d * near, after
 * Platt (1999), by a recursive Newton step per outcome with exponential forgetting. `lately` is the share of earlier
 * risks of the same series that came true: what has crossed its limit tends to do it again. `near` is how far
 * beyond (above 0) or short of its limit (below 0) the worst value of the horizon before was: a level that the forecast does not believe in may stay. b stays above 0, so that
 * more risk is never said to be less. It begins as the identity. O(1) per outcome; 20 numbers of state.
 */
export class OnlineCalibration {
  readonly #forgetting: number
  readonly #weights = Float64Array.from(START)
  /** Covariance of the weights, by rows. */
  readonly #covariance = Float64Array.from({ length: TERMS * TERMS }, (_, i) =>
    i % (TERMS + 1) === 0 ? (START_VARIANCE[i / (TERMS + 1)] as number) : 0,
  )
  readonly #terms = new Float64Array(TERMS)
  readonly #gain = new Float64Array(TERMS)
  #outcomes = 0

  constructor(options: OnlineCalibrationOptions = {}) {
    this.#forgetting = options.forgetting ?? 0.999
  }

  /** Outcomes learnt so far. */
  get outcomes(): number {
    return this.#outcomes
  }

  /** The calibrated probability, 0..1; never decreasing in `raw`, nor in `lately` and `near`. */
  calibrate(raw: number, lately = NO_PAST, near = 0): number {
    return Number.isFinite(raw) ? this.#said(raw, lately, near) : raw
  }

  #said(raw: number, lately: number, near: number): number {
    this.#terms[0] = 1
    this.#terms[1] = logOdds(raw)
    this.#terms[2] = logOdds(lately) - logOdds(NO_PAST)
    this.#terms[3] = near
    let sum = 0
    for (let i = 0; i < TERMS; i++) sum += (this.#weights[i] as number) * (this.#terms[i] as number)
    return 1 / (1 + Math.exp(-sum))
  }

  /** Learns what became of a raw probability; one that is not finite teaches nothing. */
  learn(raw: number, crossed: boolean, lately = NO_PAST, near = 0): void {
    if (!Number.isFinite(raw)) return
    const said = this.#said(raw, lately, near)
    const curvature = Math.max(LEAST_CURVATURE, said * (1 - said))
    let scale = this.#forgetting / curvature
    for (let i = 0; i < TERMS; i++) {
      let gain = 0
      for (let j = 0; j < TERMS; j++) gain += this.#at(i, j) * (this.#terms[j] as number)
      this.#gain[i] = gain
      scale += gain * (this.#terms[i] as number)
    }
    this.#step((Number(crossed) - said) / curvature, scale)
    this.#outcomes++
  }

  #at(i: number, j: number): number {
    return this.#covariance[i * TERMS + j] as number
  }

  /** Moves the weights, then lets the covariance shrink by what was learnt and grow by what is forgotten. */
  #step(surprise: number, scale: number): void {
    for (let i = 0; i < TERMS; i++) {
      const gain = this.#gain[i] as number
      const moved = (this.#weights[i] as number) + (gain / scale) * surprise
      this.#weights[i] = between(LEAST[i] as number, moved, MOST[i] as number)
      for (let j = 0; j < TERMS; j++) {
        const left = this.#at(i, j) - (gain * (this.#gain[j] as number)) / scale
        this.#covariance[i * TERMS + j] = left / this.#forgetting
      }
    }
    for (let i = 0; i < TERMS; i++) if (this.#at(i, i) > MOST_VARIANCE) this.#bound(i)
  }

  /** Scales one term's variance down to its bound; correlations stay. A term that no outcome tells about must not take the others along. */
  #bound(term: number): void {
    const by = Math.sqrt(MOST_VARIANCE / this.#at(term, term))
    for (let k = 0; k < TERMS; k++) {
      this.#covariance[term * TERMS + k]! *= by
      this.#covariance[k * TERMS + term]! *= by
    }
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#outcomes)
    for (const value of this.#weights) writer.f64(value)
    for (const value of this.#covariance) writer.f64(value)
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.#outcomes = reader.varint()
    for (let i = 0; i < TERMS; i++) this.#weights[i] = reader.f64()
    for (let i = 0; i < TERMS * TERMS; i++) this.#covariance[i] = reader.f64()
  }
}

const between = (least: number, value: number, most: number): number => Math.max(least, Math.min(most, value))

function logOdds(probability: number): number {
  const inside = between(EDGE, probability, 1 - EDGE)
  return Math.log(inside / (1 - inside))
}
