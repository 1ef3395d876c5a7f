import type { ByteReader, ByteWriter } from '#core/math'
import { OnlineLogistic, type WeightPrior } from './online-logistic.ts'
import { PAST_TERMS } from './past-horizons.ts'

/** Slow: the map is of many terms. 0.9999 looks back some ten thousand outcomes of a scope. */
const FORGETTING = 0.9999
/** Bounds of a weight: far outside of what was ever learnt. */
const BOUND = 20
const RAW = PAST_TERMS - 1
const LINEAR_VARIANCE = 0.3
const PRODUCT_VARIANCE = 0.1
const TERMS = 1 + PAST_TERMS + (PAST_TERMS * (PAST_TERMS + 1)) / 2

/** Begins as the raw probability: its term is half of its log-odds + 1. */
function priorOf(term: number): WeightPrior {
  const start = term === 0 ? -2 : term === 1 + RAW ? 2 : 0
  const variance = term <= PAST_TERMS ? LINEAR_VARIANCE : PRODUCT_VARIANCE
  return { start, variance, least: -BOUND, most: BOUND }
}

const PRIORS = Array.from({ length: TERMS }, (_, term) => priorOf(term))

/**
 * P(limit crossed within the horizon) learnt directly: an online logistic regression on what the last horizons of a series were like
 * (past-horizons.ts), the raw probability among it, with all squares and products. All series of a scope teach the same map.
 * 45 weights: about 4 microseconds per outcome, of which there is one per series and horizon.
 */
export class DirectRisk {
  readonly #map = new OnlineLogistic(PRIORS, FORGETTING)
  readonly #terms = new Float64Array(TERMS)

  /** `past`: the PAST_TERMS terms of a series. */
  probability(past: ArrayLike<number>): number {
    return this.#map.probability(this.#termsOf(past))
  }

  /** Learns what became of a horizon. */
  learn(past: ArrayLike<number>, crossed: boolean): void {
    this.#map.learn(this.#termsOf(past), crossed)
  }

  #termsOf(past: ArrayLike<number>): Float64Array {
    const terms = this.#terms
    terms[0] = 1
    for (let i = 0; i < PAST_TERMS; i++) terms[1 + i] = past[i] as number
    let at = 1 + PAST_TERMS
    for (let i = 0; i < PAST_TERMS; i++) {
      for (let j = i; j < PAST_TERMS; j++) terms[at++] = (past[i] as number) * (past[j] as number)
    }
    return terms
  }

  encode(writer: ByteWriter): void {
    this.#map.encode(writer)
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.#map.decode(reader)
  }
}
