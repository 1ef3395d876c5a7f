import { type ByteReader, type ByteWriter, quantileType7 } from '#core/math'
import { putList, takeList } from './codec.ts'

const LEAST_ERRORS = 20
/** Until there are errors: as if they were spread evenly over four standard deviations of a Poisson total. */
const UNKNOWN = Float64Array.from({ length: 40 }, (_, k) => 4 * ((k + 0.5) / 40 - 0.5))
/** An error of so many times the usual one is a jump: something new began, and it is as large at night as by day. */
const JUMP = 6
const USUAL_RATE = 0.02

/** A forecast of a total, with the distribution that past errors speak for. */
export interface TotalForecast {
  readonly mean: number
  quantile(p: number): number
  /** Expected work of those totals that exceed a limit, counted whole: what is late if no more than that can be served in time. */
  above(limit: number): number
}

/**
 * Errors of the last steps, in units of the scale that was expected of them when the forecast was made; jumps as they
 * were. So errors widen and narrow with the scale, and what begins unannounced is as likely and as large as ever.
 */
export class PastErrors {
  readonly #most: number
  readonly #errors: number[] = []
  /** Whether each is a jump. */
  readonly #jumps: number[] = []
  #usual = 1

  /** `most`: errors that are kept. */
  constructor(most: number) {
    this.#most = most
  }

  /** Takes an error in. */
  add(error: number, scale: number): void {
    const size = Math.abs(error) / scale
    const isJump = size > JUMP * this.#usual
    this.#errors.push(isJump ? error : error / scale)
    this.#jumps.push(isJump ? 1 : 0)
    if (this.#errors.length > this.#most) {
      this.#errors.shift()
      this.#jumps.shift()
    }
    this.#usual += USUAL_RATE * (Math.min(size, 3 * this.#usual) - this.#usual)
  }

  /** The distribution around a mean; `poisson`: the scale to take while there are too few errors. */
  around(mean: number, scale: number, poisson: number): TotalForecast {
    const isKnown = this.#errors.length >= LEAST_ERRORS
    const deviations = isKnown
      ? Float64Array.from(this.#errors, (e, k) => (this.#jumps[k] === 1 ? e : e * scale))
      : UNKNOWN.map((e) => e * poisson)
    let sorted: Float64Array | null = null
    return {
      mean,
      quantile(p) {
        sorted ??= deviations.slice().sort()
        return Math.max(0, mean + quantileType7(sorted, p))
      },
      above(limit) {
        let sum = 0
        for (let k = 0; k < deviations.length; k++) {
          const total = mean + deviations[k]!
          if (total > limit) sum += total
        }
        return sum / deviations.length
      },
    }
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.f64(this.#usual)
    putList(out, [this.#errors, this.#jumps])
  }

  /** Reads a state. */
  decode(from: ByteReader): void {
    this.#usual = from.f64()
    const [errors, jumps] = takeList(from)
    this.#errors.splice(0, Infinity, ...(errors ?? []))
    this.#jumps.splice(0, Infinity, ...(jumps ?? []))
  }
}
