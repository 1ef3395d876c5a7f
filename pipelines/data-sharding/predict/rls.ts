import type { ByteReader, ByteWriter } from '#core/math'
import { putNumbers, takeNumbers } from './codec.ts'

/**
 * Recursive least squares with forgetting, on normal equations: samples are added a batch at a time and the weights
 * solved once per batch (Cholesky). A ridge holds the weights near a prior until there is evidence.
 */
export class LeastSquares {
  readonly size: number
  readonly weights: Float64Array
  readonly #prior: Float64Array
  readonly #ridge: number
  readonly #forgetting: number
  readonly #xx: Float64Array
  readonly #xy: Float64Array
  readonly #chol: Float64Array
  #mass = 0

  constructor(prior: ArrayLike<number>, ridge: number, forgetting: number) {
    this.size = prior.length
    this.#prior = Float64Array.from(prior)
    this.weights = this.#prior.slice()
    this.#ridge = ridge
    this.#forgetting = forgetting
    this.#xx = new Float64Array(this.size ** 2)
    this.#xy = new Float64Array(this.size)
    this.#chol = new Float64Array(this.size ** 2)
  }

  /** Adds a sample: `size` features from `at` on, what came, and its weight (1 / variance). */
  add(features: Float64Array, at: number, y: number, weight: number): void {
    const n = this.size
    for (let i = 0; i < n; i++) {
      const wx = weight * features[at + i]!
      if (wx === 0) continue
      this.#xy[i]! += wx * y
      for (let j = 0; j <= i; j++) this.#xx[i * n + j]! += wx * features[at + j]!
    }
    this.#mass += weight
  }

  /** Solves for the weights, then forgets a little. Weights stay as they are where the equations cannot be solved. */
  solve(): void {
    const n = this.size
    const c = this.#chol
    const b = new Float64Array(n)
    for (let i = 0; i < n; i++) {
      // Relative to the feature's own energy, so that the prior does not depend on units.
      const ridge = this.#ridge * (this.#xx[i * n + i]! / Math.max(1, this.#mass) + 1e-9)
      b[i] = this.#xy[i]! + ridge * this.#prior[i]!
      for (let j = 0; j <= i; j++) {
        let sum = this.#xx[i * n + j]! + (i === j ? ridge + 1e-9 : 0)
        for (let k = 0; k < j; k++) sum -= c[i * n + k]! * c[j * n + k]!
        if (i !== j) c[i * n + j] = sum / c[j * n + j]!
        else if (sum > 0) c[i * n + i] = Math.sqrt(sum)
        else return
      }
    }
    for (let i = 0; i < n; i++) {
      for (let k = 0; k < i; k++) b[i]! -= c[i * n + k]! * b[k]!
      b[i]! /= c[i * n + i]!
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let k = i + 1; k < n; k++) b[i]! -= c[k * n + i]! * b[k]!
      b[i]! /= c[i * n + i]!
    }
    this.weights.set(b)
    for (let i = 0; i < this.#xx.length; i++) this.#xx[i]! *= this.#forgetting
    for (let i = 0; i < n; i++) this.#xy[i]! *= this.#forgetting
    this.#mass *= this.#forgetting
  }

  /** The prediction for `size` features from `at` on. */
  predict(features: Float64Array, at: number): number {
    let sum = 0
    for (let i = 0; i < this.size; i++) sum += this.weights[i]! * features[at + i]!
    return sum
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    for (const values of [this.weights, this.#xx, this.#xy, [this.#mass]]) putNumbers(out, values)
  }

  /** Reads a state of the same size. */
  decode(from: ByteReader): void {
    for (const values of [this.weights, this.#xx, this.#xy]) takeNumbers(from, values)
    this.#mass = from.f64()
  }
}
