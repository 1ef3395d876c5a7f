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
/** Trust in the identity before the first outcome, as variances of intercept and slope. */
const START_VARIANCE = [1, 0.25] as const
/** Largest of either variance: without outcomes of one kind, forgetting must not forget everything. */
const MOST_VARIANCE = 4
const LEAST_SLOPE = 0.05
const MOST_SLOPE = 5
const MOST_INTERCEPT = 10

/**
 * Calibration that follows its outcomes: log-odds = a + b * log-odds of the raw probability (Platt 1999), with a and b
 * by a recursive Newton step per outcome and exponential forgetting. b stays above 0, so that more risk is never said
 * to be less. It begins as the identity. O(1) per outcome; 5 numbers of state.
 */
export class OnlineCalibration {
  readonly #forgetting: number
  #a = 0
  #b = 1
  /** Covariance of a and b: [aa, ab, bb]. */
  readonly #p: [number, number, number] = [START_VARIANCE[0], 0, START_VARIANCE[1]]
  #outcomes = 0

  constructor(options: OnlineCalibrationOptions = {}) {
    this.#forgetting = options.forgetting ?? 0.999
  }

  /** Outcomes learnt so far. */
  get outcomes(): number {
    return this.#outcomes
  }

  /** The calibrated probability, 0..1; never decreasing in `raw`. */
  calibrate(raw: number): number {
    return Number.isFinite(raw) ? logistic(this.#a + this.#b * logOdds(raw)) : raw
  }

  /** Learns what became of a raw probability; one that is not finite teaches nothing. */
  learn(raw: number, crossed: boolean): void {
    if (!Number.isFinite(raw)) return
    const x = logOdds(raw)
    const said = logistic(this.#a + this.#b * x)
    const curvature = Math.max(LEAST_CURVATURE, said * (1 - said))
    const [aa, ab, bb] = this.#p
    const gainA = aa + ab * x
    const gainB = ab + bb * x
    const scale = this.#forgetting / curvature + gainA + gainB * x
    const surprise = (Number(crossed) - said) / curvature
    this.#a = between(-MOST_INTERCEPT, this.#a + (gainA / scale) * surprise, MOST_INTERCEPT)
    this.#b = between(LEAST_SLOPE, this.#b + (gainB / scale) * surprise, MOST_SLOPE)
    this.#p[0] = (aa - (gainA * gainA) / scale) / this.#forgetting
    this.#p[1] = (ab - (gainA * gainB) / scale) / this.#forgetting
    this.#p[2] = (bb - (gainB * gainB) / scale) / this.#forgetting
    this.#bound()
    this.#outcomes++
  }

  /** Scales the covariance down where a variance has outgrown its bound; its shape stays. */
  #bound(): void {
    const most = Math.max(this.#p[0], this.#p[2])
    if (most <= MOST_VARIANCE) return
    const by = MOST_VARIANCE / most
    for (const i of [0, 1, 2] as const) this.#p[i] *= by
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#outcomes)
    for (const value of [this.#a, this.#b, ...this.#p]) writer.f64(value)
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.#outcomes = reader.varint()
    this.#a = reader.f64()
    this.#b = reader.f64()
    for (const i of [0, 1, 2] as const) this.#p[i] = reader.f64()
  }
}

const between = (least: number, value: number, most: number): number => Math.max(least, Math.min(most, value))

const logistic = (logOddsOf: number): number => 1 / (1 + Math.exp(-logOddsOf))

function logOdds(probability: number): number {
  const inside = between(EDGE, probability, 1 - EDGE)
  return Math.log(inside / (1 - inside))
}
