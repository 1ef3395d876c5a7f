import type { ByteReader, ByteWriter } from '#core/math'
import { classicalProfile, isShortSeason } from './classical.ts'
import { decodeFloats, encodeFloats, type ForecastModel } from './model.ts'
import { warmSearch } from './nelder-mead.ts'
import { filledGaps, seasonalProfiles } from './profiles.ts'

const ITERATIONS = 60
const LARGEST = 1e4
const held = (value: number): number => Math.max(-LARGEST, Math.min(LARGEST, value))

/** Level, intercept and slope of the regression on time, and the mean, after `count` values. */
interface State {
  count: number
  level: number
  intercept: number
  slope: number
  mean: number
  /** (1 - alpha)^count: the weight of the start. */
  fade: number
}

const empty = (): State => ({ count: 0, level: 0, intercept: 0, slope: 0, mean: 0, fade: 1 })

/**
 * Dynamic optimised theta (Fiorucci, Pellegrini, Louzada, Petropoulos, Koehler 2016) on the values less their seasonal means: a level with
 * weight alpha, and 1 - 1/theta of a trend that is regressed anew at every step. A gap counts as its own forecast. Update O(1).
 */
export class Theta implements ForecastModel {
  readonly name: string
  readonly minPoints: number
  readonly memoryBytes: number
  readonly #seasons: readonly number[]
  readonly #profiles: readonly Float32Array[]
  #state = empty()
  /** Steps since the start of the profiles; gaps before the first value count here. */
  #phase = 0
  #alpha = 0.5
  #share = 0.5
  readonly #search = warmSearch(new Float64Array(2), 1, ITERATIONS)

  /** `seasons`: steps, ascending; none for `dotheta`. */
  constructor(seasons: readonly number[]) {
    this.name = ['dotheta', ...seasons].join('-')
    this.minPoints = Math.max(6, 2 * (seasons.at(-1) ?? 1))
    this.#seasons = seasons
    this.#profiles = seasons.map((season) => new Float32Array(season))
    this.memoryBytes = 4 * seasons.reduce((a, b) => a + b, 0) + 56
  }

  fit(values: Float64Array): void {
    const [only = 1] = this.#seasons
    const isShort = this.#seasons.length === 1 && isShortSeason(only)
    const profiles = isShort
      ? [classicalProfile(values, only)]
      : seasonalProfiles(values, this.#seasons).profiles
    this.#profiles.forEach((profile, i) => {
      profile.set(profiles[i] as Float64Array)
    })
    const plain = filledGaps(values, this.#seasons.at(-1) ?? 1).map((value, t) => value - this.#season(t))
    const cost = ([a, b]: Float64Array): number => {
      this.#setParameters(a as number, b as number)
      return this.#run(plain)
    }
    const [a, b] = this.#search(cost)
    this.#setParameters(a as number, b as number)
    this.#state = empty()
    this.#phase = 0
    for (const value of values) this.update(value)
  }

  update(value: number): void {
    const season = this.#season(this.#phase++)
    if (Number.isNaN(value) && this.#state.count === 0) return
    const plain = Number.isNaN(value) ? this.#next() : value - season
    step(this.#state, this.#alpha, held(plain))
  }

  forecast(horizon: number, out: Float64Array): void {
    const first = this.#state.count === 0 ? 0 : this.#next()
    const drift = this.#share * this.#state.slope
    for (let h = 0; h < horizon; h++) out[h] = held(first + h * drift + this.#season(this.#phase + h))
  }

  encode(writer: ByteWriter): void {
    const { count, level, intercept, slope, mean, fade } = this.#state
    writer.varint(count)
    writer.varint(this.#phase)
    for (const value of [level, intercept, slope, mean, fade, this.#alpha, this.#share]) writer.f64(value)
    for (const profile of this.#profiles) encodeFloats(writer, profile)
  }

  decode(reader: ByteReader): void {
    const count = reader.varint()
    this.#phase = reader.varint()
    const [level, intercept, slope] = [reader.f64(), reader.f64(), reader.f64()] as const
    this.#state = { count, level, intercept, slope, mean: reader.f64(), fade: reader.f64() }
    this.#alpha = reader.f64()
    this.#share = reader.f64()
    for (const profile of this.#profiles) decodeFloats(reader, profile)
  }

  #setParameters(a: number, b: number): void {
    this.#alpha = 0.01 + 0.98 / (1 + Math.exp(-a))
    this.#share = 1 - 1 / (1 + Math.exp(Math.min(50, b)))
  }

  #season(t: number): number {
    let sum = 0
    for (const profile of this.#profiles) sum += profile[t % profile.length] as number
    return sum
  }

  /** The next value without its season. */
  #next(): number {
    const { level, intercept, slope, fade } = this.#state
    const slopeSum = (1 - fade * (1 - this.#alpha)) / this.#alpha
    return level + this.#share * (fade * intercept + slope * slopeSum)
  }

  #run(plain: Float64Array): number {
    this.#state = empty()
    let sum = 0
    for (let t = 0; t < plain.length; t++) {
      const value = plain[t] as number
      if (t > 2) sum += (value - this.#next()) ** 2
      step(this.#state, this.#alpha, value)
    }
    return sum
  }
}

function step(state: State, alpha: number, value: number): void {
  const t = state.count
  const before = state.mean
  state.level = t === 0 ? value : state.level + alpha * (value - state.level)
  state.mean = (t * before + value) / (t + 1)
  state.slope = t === 0 ? 0 : ((t - 1) * state.slope + (6 * (value - before)) / (t + 1)) / (t + 2)
  state.intercept = state.mean - (state.slope * (t + 2)) / 2
  state.count = t + 1
  state.fade *= 1 - alpha
}
