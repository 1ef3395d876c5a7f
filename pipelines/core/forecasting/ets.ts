import type { ByteReader, ByteWriter } from '#core/math'
import { classicalProfile } from './classical.ts'
import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'
import { nelderMead } from './nelder-mead.ts'
import { filledGaps } from './profiles.ts'

const ROUNDS_PER_PARAMETER = 30
const LARGEST = 1e4
const held = (value: number): number => Math.max(-LARGEST, Math.min(LARGEST, value))
/** First values that the starting level and trend are regressed on, at least. */
const FEWEST_AT_START = 10
const LEAST_PHI = 0.8
const MOST_PHI = 0.98

/** Level, trend and weights; the trend is damped by phi a step (0: there is none). */
interface Smoothing {
  level: number
  trend: number
  alpha: number
  beta: number
  gamma: number
  phi: number
}

/** A form of the model: with a trend or without, with a season or without. */
interface Form {
  readonly trend: 'none' | 'damped' | 'straight'
  readonly isSeasonal: boolean
}

const TRENDS = ['none', 'damped', 'straight'] as const

/**
 * Exponential smoothing with additive errors, in innovations form (Hyndman, Koehler, Ord, Snyder 2008): level, trend that may be damped, and one season that
 * there may be. The form is the one with the least AICc; on the log scale of a series all effects multiply. For short histories: the
 * search is over the weights and the starting level and trend. A gap counts as its own forecast. Update O(1).
 */
export class Ets implements ForecastModel {
  readonly name: string
  readonly minPoints: number
  readonly memoryBytes: number
  readonly #season: number
  readonly #profile: Float32Array
  #at = 0
  #state: Smoothing = { level: 0, trend: 0, alpha: 0.5, beta: 0, gamma: 0, phi: 0 }

  /** `season`: steps; 1 for none. */
  constructor(season: number) {
    this.#season = season
    this.name = season > 1 ? `ets-${season}` : 'ets'
    this.minPoints = season > 1 ? 2 * season + 2 : 4
    this.#profile = new Float32Array(season)
    this.memoryBytes = 4 * season + 56
  }

  fit(values: Float64Array): void {
    const m = this.#season
    const filled = filledGaps(values, m)
    const shape = m > 1 ? classicalProfile(values, m) : new Float64Array(1)
    const flat = new Float64Array(m)
    const scratch = new Float64Array(m)
    let least = Infinity
    let best: Smoothing = this.#state
    let isSeasonal = false
    for (const form of formsOf(m, filled.length)) {
      const profile = form.isSeasonal ? shape : flat
      const from = startOf(filled, profile, m, form.trend !== 'none')
      const found = search(filled, values, profile, scratch, from, form)
      if (found.criterion < least) {
        least = found.criterion
        best = found.state
        isSeasonal = form.isSeasonal
      }
    }
    this.#state = { ...best }
    this.#profile.set(isSeasonal ? shape : flat)
    this.#at = 0
    for (const value of values) this.update(value)
  }

  update(value: number): void {
    const s = this.#state
    const season = this.#profile[this.#at] as number
    const drift = s.phi * s.trend
    const error = Number.isNaN(value) ? 0 : held(value - s.level - drift - season)
    s.level = held(s.level + drift + s.alpha * error)
    s.trend = held(drift + s.beta * error)
    this.#profile[this.#at] = held(season + s.gamma * error)
    this.#at = this.#at + 1 === this.#season ? 0 : this.#at + 1
  }

  forecast(horizon: number, out: Float64Array): void {
    const s = this.#state
    let level = s.level
    let drift = s.trend
    for (let h = 0; h < horizon; h++) {
      drift *= s.phi
      level += drift
      out[h] = held(level + (this.#profile[(this.#at + h) % this.#season] as number))
    }
  }

  encode(writer: ByteWriter): void {
    const { level, trend, alpha, beta, gamma, phi } = this.#state
    writer.varint(this.#at)
    for (const value of [level, trend, alpha, beta, gamma, phi]) writer.f64(value)
    encodeFloats(writer, this.#profile)
  }

  decode(reader: ByteReader): void {
    this.#at = reader.varint() % this.#season
    const [level, trend, alpha] = [reader.f64(), reader.f64(), reader.f64()] as const
    const [beta, gamma, phi] = [reader.f64(), reader.f64(), reader.f64()] as const
    this.#state = { level, trend, alpha, beta, gamma, phi }
    decodeFloats(reader, this.#profile)
  }
}

/** Forms that a history is long enough for. */
function formsOf(season: number, length: number): Form[] {
  const seasonal = season > 1 ? [false, true] : [false]
  return seasonal.flatMap((isSeasonal) =>
    TRENDS.map((trend) => ({ trend, isSeasonal })).filter((form) => length > parametersOf(form, season) + 2),
  )
}

/** Weights, starting values and the variance. */
function parametersOf({ trend, isSeasonal }: Form, season: number): number {
  return 3 + { none: 0, straight: 2, damped: 3 }[trend] + (isSeasonal ? season : 0)
}

/** Regression on time of the first values without their season. */
function startOf(
  filled: Float64Array,
  profile: Float64Array,
  season: number,
  hasTrend: boolean,
): [number, number] {
  const n = Math.min(filled.length, Math.max(FEWEST_AT_START, 2 * season))
  let mean = 0
  let slope = 0
  const middle = (n - 1) / 2
  for (let t = 0; t < n; t++) {
    const value = (filled[t] as number) - (profile[t % season] as number)
    mean += value / n
    slope += (t - middle) * value
  }
  slope = n > 1 ? slope / ((n * (n * n - 1)) / 12) : 0
  return hasTrend ? [mean - slope * (middle + 1), slope] : [mean, 0]
}

/** Free parameters: alpha, level, then beta and trend, phi, gamma where the form has them. */
function search(
  filled: Float64Array,
  values: Float64Array,
  profile: Float64Array,
  scratch: Float64Array,
  [level, trend]: readonly [number, number],
  form: Form,
): { readonly criterion: number; readonly state: Smoothing } {
  const start = [0, level]
  if (form.trend !== 'none') start.push(-1.5, trend)
  if (form.trend === 'damped') start.push(1)
  if (form.isSeasonal) start.push(-2)
  const state = { level: 0, trend: 0, alpha: 0, beta: 0, gamma: 0, phi: 0 }
  const cost = (point: Float64Array): number => {
    setState(state, point, form)
    scratch.set(profile)
    return sumOfSquares(state, scratch, filled, values)
  }
  const best = nelderMead(cost, Float64Array.from(start), 0.5, ROUNDS_PER_PARAMETER * start.length)
  const n = filled.length
  const k = parametersOf(form, profile.length)
  const squares = Math.max(cost(best), 1e-12 * n)
  setState(state, best, form)
  return { criterion: n * Math.log(squares / n) + 2 * k + (2 * k * (k + 1)) / (n - k - 1), state }
}

const logistic = (x: number): number => 1 / (1 + Math.exp(-x))

function setState(state: Smoothing, point: Float64Array, { trend, isSeasonal }: Form): void {
  let i = 0
  const next = (): number => point[i++] as number
  state.alpha = 0.001 + 0.998 * logistic(next())
  state.level = next()
  state.beta = trend === 'none' ? 0 : state.alpha * logistic(next())
  state.trend = trend === 'none' ? 0 : next()
  state.phi =
    trend === 'none' ? 0 : trend === 'straight' ? 1 : LEAST_PHI + (MOST_PHI - LEAST_PHI) * logistic(next())
  state.gamma = isSeasonal ? (1 - state.alpha) * logistic(next()) : 0
}

function sumOfSquares(
  { level: start, trend: slope, alpha, beta, gamma, phi }: Smoothing,
  profile: Float64Array,
  filled: Float64Array,
  values: Float64Array,
): number {
  const m = profile.length
  let level = start
  let trend = slope
  let at = 0
  let sum = 0
  for (let t = 0; t < filled.length; t++) {
    const season = profile[at] as number
    const drift = phi * trend
    const error = Number.isNaN(values[t]) ? 0 : (filled[t] as number) - level - drift - season
    level += drift + alpha * error
    trend = drift + beta * error
    profile[at] = season + gamma * error
    at = at + 1 === m ? 0 : at + 1
    sum += error * error
  }
  return sum
}
