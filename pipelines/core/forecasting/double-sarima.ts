import type { ByteReader, ByteWriter } from '#core/math'
import type { ForecastModel } from './model.ts'
import { warmSearch } from './nelder-mead.ts'
import { filledGaps } from './profiles.ts'
import { Ring } from './ring.ts'

const ITERATIONS = 140
const BOUND = 0.98
const LARGEST = 1e4
const START = Float64Array.of(1, 0, -0.8, 0.2)

const held = (value: number): number => Math.max(-LARGEST, Math.min(LARGEST, value))

/**
 * Seasonal ARIMA of two seasons s < m, (1,0,1)(1,0,0)s(0,1,1)m by conditional sum of squares: w_t = y_t - y_(t-m);
 * (1 - phi B)(1 - Phi B^s) w_t = (1 + theta B)(1 + Theta B^m) e_t. The difference to last week carries the week, Phi what of it
 * lasts from day to day. A gap counts as its own forecast. State: 2 m + s + 3 floats; update O(1).
 */
export class DoubleSarima implements ForecastModel {
  readonly name: string
  readonly minPoints: number
  readonly memoryBytes: number
  readonly #s: number
  readonly #m: number
  readonly #values: Ring
  readonly #errors: Ring
  readonly #differences: Ring
  /** phi, theta, Theta, Phi. */
  readonly #p = new Float64Array(4)
  readonly #search = warmSearch(START, 0.5, ITERATIONS)

  /** `short` < `long`, steps. */
  constructor(short: number, long: number) {
    this.#s = short
    this.#m = long
    this.name = `sarima-${short}-${long}`
    this.minPoints = 2 * long + short + 10
    this.#values = new Ring(long)
    this.#errors = new Ring(long + 1)
    this.#differences = new Ring(short + 1)
    this.memoryBytes = 4 * (2 * long + short + 2) + 64
  }

  fit(values: Float64Array): void {
    const m = this.#m
    const filled = filledGaps(values, m)
    const errors = new Float64Array(filled.length)
    const differences = new Float64Array(filled.length)
    for (let t = m; t < filled.length; t++) differences[t] = (filled[t] as number) - (filled[t - m] as number)
    const cost = (point: Float64Array): number => {
      bounded(point, this.#p)
      return this.#sumOfSquares(differences, values, errors)
    }
    bounded(this.#search(cost), this.#p)
    this.#values.fill(filled[0] ?? 0)
    this.#errors.fill(0)
    this.#differences.fill(0)
    for (let t = 0; t < Math.min(m, filled.length); t++) this.#values.push(filled[t] as number)
    for (let t = m; t < values.length; t++) this.update(values[t] as number)
  }

  update(value: number): void {
    const before = this.#values.back(this.#m)
    const expected = before + this.#nextW(0, 0)
    const y = held(Number.isNaN(value) ? expected : value)
    this.#differences.push(y - before)
    this.#values.push(y)
    this.#errors.push(Number.isNaN(value) ? 0 : held(y - expected))
  }

  forecast(horizon: number, out: Float64Array): void {
    const m = this.#m
    const course = scratch(horizon)
    for (let h = 0; h < horizon; h++) {
      course[h] = this.#nextW(h, h > 0 ? (course[h - 1] as number) : 0, course)
      const before = h < m ? this.#values.back(m - h) : (out[h - m] as number)
      out[h] = held(before + (course[h] as number))
    }
  }

  encode(writer: ByteWriter): void {
    for (const parameter of this.#p) writer.f64(parameter)
    for (const ring of [this.#values, this.#errors, this.#differences]) ring.encode(writer)
  }

  decode(reader: ByteReader): void {
    for (let i = 0; i < this.#p.length; i++) this.#p[i] = reader.f64()
    for (const ring of [this.#values, this.#errors, this.#differences]) ring.decode(reader)
  }

  /** Expected w, h steps after the next one; `course` holds the ones before it. */
  #nextW(h: number, previous: number, course: ArrayLike<number> = NOTHING): number {
    const [phi, theta, seasonal, daily] = this.#p as unknown as [number, number, number, number]
    const w = (lag: number): number =>
      lag > h ? this.#differences.back(lag - h) : (course[h - lag] as number)
    const e = (lag: number): number => (lag > h ? this.#errors.back(lag - h) : 0)
    const last = h === 0 ? this.#differences.back(1) : previous
    const echo = e(this.#m) + theta * e(this.#m + 1)
    return phi * last + daily * (w(this.#s) - phi * w(this.#s + 1)) + theta * e(1) + seasonal * echo
  }

  #sumOfSquares(w: Float64Array, values: Float64Array, errors: Float64Array): number {
    const m = this.#m
    const s = this.#s
    const [phi, theta, seasonal, daily] = this.#p as unknown as [number, number, number, number]
    const start = m + s + 1
    errors.fill(0, 0, Math.min(errors.length, start))
    let last = 0
    let sum = 0
    for (let t = start; t < w.length; t++) {
      const inner = (w[t - s] as number) - phi * (w[t - s - 1] as number)
      const echo = (errors[t - m] as number) + theta * (errors[t - m - 1] as number)
      const expected = phi * (w[t - 1] as number) + daily * inner + theta * last + seasonal * echo
      const error = Number.isNaN(values[t]) ? 0 : (w[t] as number) - expected
      errors[t] = error
      last = error
      sum += error * error
    }
    return sum
  }
}

const NOTHING: ArrayLike<number> = []
let course = new Float64Array(0)

/** One buffer for all models: forecasts do not overlap. */
function scratch(length: number): Float64Array {
  if (course.length < length) course = new Float64Array(length)
  return course
}

/** tanh keeps the free parameters of the search inside the stationary and invertible region. */
function bounded(point: Float64Array, to: Float64Array): void {
  for (let i = 0; i < to.length; i++) to[i] = BOUND * Math.tanh(point[i] as number)
}
