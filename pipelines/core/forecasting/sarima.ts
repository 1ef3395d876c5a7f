import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'
import { warmSearch } from './nelder-mead.ts'
import { filledGaps } from './profiles.ts'

const ITERATIONS = 80
/** Moving-average roots stay clear of 1, where the recursion would never forget its start. */
const MA_BOUND = 0.98
/** Values and errors are held inside this (model scale: about 1 is usual), so that nothing can overflow. */
const LARGEST = 1e4
const START = Float64Array.of(1, 0, -0.8)

const held = (value: number): number => Math.max(-LARGEST, Math.min(LARGEST, value))

/**
 * Seasonal ARIMA (1,0,1)(0,1,1)m by conditional sum of squares (Box, Jenkins, Reinsel, ch. 9):
 * w_t = y_t - y_(t-m); e_t = w_t - phi w_(t-1) - theta e_(t-1) - Theta e_(t-m) - theta Theta e_(t-m-1).
 * A gap counts as its own forecast (e = 0). State: 2 m + 1 floats; update O(1), forecast O(horizon),
 * fit about 1 microsecond per point. `season` m >= 2 steps.
 */
export class Sarima implements ForecastModel {
  readonly name: string
  readonly minPoints: number
  readonly memoryBytes: number
  readonly #m: number
  /** y of the last m steps; the oldest, y_(t+1-m), at `#atValue`. */
  readonly #values: Float32Array
  /** e of the last m + 1 steps; the oldest, e_(t-m), at `#atError`. */
  readonly #errors: Float32Array
  #atValue = 0
  #atError = 0
  #lastW = 0
  #lastE = 0
  #phi = 0
  #theta = 0
  #seasonal = 0
  readonly #search = warmSearch(START, 0.5, ITERATIONS)

  constructor(season: number) {
    this.#m = season
    this.name = `sarima-${season}`
    this.minPoints = 2 * season + 10
    this.memoryBytes = 8 * season + 64
    this.#values = new Float32Array(season)
    this.#errors = new Float32Array(season + 1)
  }

  fit(values: Float64Array): void {
    const m = this.#m
    const filled = filledGaps(values, m)
    const errors = new Float64Array(filled.length)
    const cost = (point: Float64Array): number => {
      this.#setParameters(point)
      return this.#sumOfSquares(filled, values, errors)
    }
    this.#setParameters(this.#search(cost))
    this.#values.fill(filled[0] ?? 0)
    this.#values.set(filled.subarray(0, m))
    this.#errors.fill(0)
    this.#atValue = 0
    this.#atError = 0
    this.#lastW = 0
    this.#lastE = 0
    for (let t = m; t < values.length; t++) this.update(values[t] as number)
  }

  update(value: number): void {
    const m = this.#m
    const before = this.#values[this.#atValue] as number
    const older = this.#errors[this.#atError] as number
    const newer = this.#errors[this.#atError === m ? 0 : this.#atError + 1] as number
    const expected = before + this.#nextW(this.#lastW, this.#lastE, newer, older)
    const y = held(Number.isNaN(value) ? expected : value)
    const error = Number.isNaN(value) ? 0 : held(y - expected)
    this.#lastW = y - before
    this.#lastE = error
    this.#values[this.#atValue] = y
    this.#errors[this.#atError] = error
    this.#atValue = this.#atValue + 1 === m ? 0 : this.#atValue + 1
    this.#atError = this.#atError === m ? 0 : this.#atError + 1
  }

  forecast(horizon: number, out: Float64Array): void {
    const m = this.#m
    let w = this.#lastW
    let e = this.#lastE
    for (let h = 0; h < horizon; h++) {
      const newer = h < m ? (this.#errors[(this.#atError + 1 + h) % (m + 1)] as number) : 0
      const older = h <= m ? (this.#errors[(this.#atError + h) % (m + 1)] as number) : 0
      w = this.#nextW(w, e, newer, older)
      e = 0
      const before = h < m ? (this.#values[(this.#atValue + h) % m] as number) : (out[h - m] as number)
      out[h] = held(before + w)
    }
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#atValue)
    writer.varint(this.#atError)
    for (const value of [this.#lastW, this.#lastE, this.#phi, this.#theta, this.#seasonal]) writer.f64(value)
    encodeFloats(writer, this.#values)
    encodeFloats(writer, this.#errors)
  }

  decode(reader: ByteReader): void {
    this.#atValue = reader.varint() % this.#m
    this.#atError = reader.varint() % (this.#m + 1)
    this.#lastW = reader.f64()
    this.#lastE = reader.f64()
    this.#phi = reader.f64()
    this.#theta = reader.f64()
    this.#seasonal = reader.f64()
    decodeFloats(reader, this.#values)
    decodeFloats(reader, this.#errors)
  }

  #nextW(w: number, e: number, newer: number, older: number): number {
    return this.#phi * w + this.#theta * e + this.#seasonal * (newer + this.#theta * older)
  }

  /** tanh keeps the free parameters of the search inside the stationary and invertible region. */
  #setParameters(point: Float64Array): void {
    this.#phi = Math.tanh(point[0] as number)
    this.#theta = MA_BOUND * Math.tanh(point[1] as number)
    this.#seasonal = MA_BOUND * Math.tanh(point[2] as number)
  }

  #sumOfSquares(filled: Float64Array, values: Float64Array, errors: Float64Array): number {
    const m = this.#m
    const phi = this.#phi
    const theta = this.#theta
    const seasonal = this.#seasonal
    errors.fill(0, 0, m + 1)
    let before = (filled[m] as number) - (filled[0] as number)
    let last = 0
    let sum = 0
    for (let t = m + 1; t < filled.length; t++) {
      const w = (filled[t] as number) - (filled[t - m] as number)
      const echo = (errors[t - m] as number) + theta * (errors[t - m - 1] as number)
      const isGap = Number.isNaN(values[t])
      const error = isGap ? 0 : w - phi * before - theta * last - seasonal * echo
      errors[t] = error
      last = error
      before = w
      sum += error * error
    }
    return sum
  }
}
