import type { ByteReader, ByteWriter } from '#core/math'

/** A weight: where it starts, how uncertain that is, and its bounds. */
export interface WeightPrior {
  readonly start: number
  readonly variance: number
  readonly least: number
  readonly most: number
}

/** Least curvature of an outcome: a sure one that fails moves the weights, but not without bounds. */
const LEAST_CURVATURE = 0.02
/** Largest of the variances: without outcomes of one kind, forgetting must not forget everything. */
const MOST_VARIANCE = 4

/**
 * Logistic regression that follows its outcomes: a recursive Newton step per outcome with exponential forgetting (recursive least squares on the
 * linearised log-odds). n terms cost O(n^2) per outcome and hold n^2 + n numbers.
 */
export class OnlineLogistic {
  readonly #priors: readonly WeightPrior[]
  readonly #forgetting: number
  readonly #weights: Float64Array
  /** Covariance of the weights, by rows. */
  readonly #covariance: Float64Array
  readonly #gain: Float64Array
  #outcomes = 0

  /** `forgetting`: weight of an outcome after one more, 0.5..1. */
  constructor(priors: readonly WeightPrior[], forgetting: number) {
    const n = priors.length
    this.#priors = priors
    this.#forgetting = forgetting
    this.#weights = Float64Array.from(priors, (prior) => prior.start)
    this.#gain = new Float64Array(n)
    this.#covariance = new Float64Array(n * n)
    for (const [i, prior] of priors.entries()) this.#covariance[i * n + i] = prior.variance
  }

  /** Outcomes learnt so far. */
  get outcomes(): number {
    return this.#outcomes
  }

  /** The probability of these terms, 0..1. */
  probability(terms: ArrayLike<number>): number {
    let sum = 0
    for (let i = 0; i < this.#weights.length; i++) sum += (this.#weights[i] as number) * (terms[i] as number)
    return 1 / (1 + Math.exp(-sum))
  }

  /** Learns what became of these terms. */
  learn(terms: ArrayLike<number>, happened: boolean): void {
    const n = this.#weights.length
    const said = this.probability(terms)
    const curvature = Math.max(LEAST_CURVATURE, said * (1 - said))
    let scale = this.#forgetting / curvature
    for (let i = 0; i < n; i++) {
      let gain = 0
      for (let j = 0; j < n; j++) gain += (this.#covariance[i * n + j] as number) * (terms[j] as number)
      this.#gain[i] = gain
      scale += gain * (terms[i] as number)
    }
    this.#step((Number(happened) - said) / curvature, scale)
    this.#outcomes++
  }

  /** Moves the weights, then lets the covariance shrink by what was learnt and grow by what is forgotten. */
  #step(surprise: number, scale: number): void {
    const n = this.#weights.length
    for (let i = 0; i < n; i++) {
      const { least, most } = this.#priors[i] as WeightPrior
      const share = (this.#gain[i] as number) / scale
      this.#weights[i] = Math.max(least, Math.min((this.#weights[i] as number) + share * surprise, most))
      for (let j = i; j < n; j++) {
        const left = (this.#covariance[i * n + j] as number) - share * (this.#gain[j] as number)
        // Written to both sides: forgetting would let any difference grow without end.
        this.#covariance[i * n + j] = left / this.#forgetting
        this.#covariance[j * n + i] = left / this.#forgetting
      }
    }
    for (let i = 0; i < n; i++) if ((this.#covariance[i * n + i] as number) > MOST_VARIANCE) this.#bound(i)
  }

  /** Scales one term's variance down to its bound; correlations stay. A term that no outcome tells about must not take the others along. */
  #bound(term: number): void {
    const n = this.#weights.length
    const by = Math.sqrt(MOST_VARIANCE / (this.#covariance[term * n + term] as number))
    for (let k = 0; k < n; k++) {
      this.#covariance[term * n + k]! *= by
      this.#covariance[k * n + term]! *= by
    }
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#outcomes)
    for (const value of this.#weights) writer.f64(value)
    for (const value of this.#covariance) writer.f64(value)
  }

  /** Takes over what `encode` wrote with as many weights. */
  decode(reader: ByteReader): void {
    this.#outcomes = reader.varint()
    for (let i = 0; i < this.#weights.length; i++) this.#weights[i] = reader.f64()
    for (let i = 0; i < this.#covariance.length; i++) this.#covariance[i] = reader.f64()
  }
}

/** Probabilities closer to 0 or 1 say that nothing can happen: no log-odds could be learnt from them. */
const EDGE = 1e-4

/** Log-odds of a probability, which is held at least 1e-4 away from 0 and 1. */
export function logOddsOf(probability: number): number {
  const inside = Math.max(EDGE, Math.min(probability, 1 - EDGE))
  return Math.log(inside / (1 - inside))
}
