import type { ByteReader, ByteWriter } from '#core/math'
import { putList, putNumbers, takeList, takeNumbers } from './codec.ts'
import { LeastSquares } from './rls.ts'
import { LoadState, type SeriesShape } from './state.ts'

/** Announced work by segment at a step, as known when asked; null: nothing is announced. */
export type Calendar = (step: number) => Float64Array | null

const PLAIN = 22
/** Models by expected work: noise is larger beside less work, so that the best smoothing differs. */
const CLASSES = [5, 12, 30] as const
const ANNOUNCED = 12
const CAL_LAGS = [-2, -1, 0, 1, 2] as const
const PRIOR_STRENGTH = 200
const RIDGE = 0.02
const FORGETTING = 0.999
const NO_WORK = new Float64Array(0)

function classOf(level: number): number {
  let c = 0
  while (c < CLASSES.length && level >= CLASSES[c]!) c++
  return c
}

/** What of a difference lies beyond `times` standard deviations of noise. */
function beyond(difference: number, noise: number, times: number): number {
  const least = times * noise
  return difference > least ? difference - least : difference < -least ? difference + least : 0
}

/** A forecast of the work of every segment. */
export interface SegmentForecast {
  /** Step that it speaks of. */
  readonly step: number
  /** Expected work by segment. */
  readonly mean: Float64Array
  /** Its standard deviation by segment. */
  readonly deviation: Float64Array
  /** The gamma-Poisson estimate alone: shares of a total, shrunk to slow shares. */
  readonly gammaPoisson: Float64Array
}

/**
 * Work of every segment `horizon` steps after the last one seen. One regression for all segments (pooled), weighted by
 * the inverse of each one's mean, over its levels, its profiles of the day and week, a gamma-Poisson estimate, what the
 * calendar announces, and how much of a sudden rise lasts. It learns from each forecast that it issued.
 */
export class PooledForecaster {
  readonly state: LoadState
  readonly #horizon: number
  readonly #calendar: Calendar
  readonly #size: number
  readonly #models: LeastSquares[]
  /** Features of the forecasts whose step has not come, oldest first. */
  readonly #issued: Float64Array[] = []
  readonly #means: Float64Array[] = []
  readonly #totalSlots: Float64Array
  #totalFast = 0
  #slotFast = 0
  #surprise = 0
  readonly #residual: Float64Array
  readonly #residualBefore: Float64Array
  readonly #square: Float64Array
  /** Variance per unit of work, and beyond it per square of work: pooled. */
  #spread = 1
  #wide = 0.02

  constructor(shape: SeriesShape, horizon: number, calendar: Calendar) {
    this.state = new LoadState(shape)
    this.#horizon = horizon
    this.#calendar = calendar
    this.#size = PLAIN + ANNOUNCED
    const prior = new Float64Array(this.#size)
    prior[4] = 0.7
    prior[1] = 0.3
    this.#models = [...CLASSES, Infinity].map(() => new LeastSquares(prior, RIDGE, FORGETTING))
    this.#totalSlots = new Float64Array(shape.week)
    this.#residual = new Float64Array(shape.segments)
    this.#residualBefore = new Float64Array(shape.segments)
    this.#square = new Float64Array(shape.segments)
  }

  /** Takes the next step in: learns from the forecast of it, then moves the levels on. */
  observe(work: ArrayLike<number>): void {
    this.#learn(work)
    const { segments, week, day } = this.state.shape
    const t = this.state.steps
    let total = 0
    for (let s = 0; s < segments; s++) total += work[s]!
    const slot = t % week
    const known = t >= week ? this.#totalSlots[slot]! : t >= day ? this.#totalSlots[(t - day) % week]! : total
    this.#totalFast += 0.3 * (total - this.#totalFast)
    this.#slotFast += 0.3 * (known - this.#slotFast)
    this.#totalSlots[slot]! += (t < week ? 1 : 0.3) * (total - this.#totalSlots[slot]!)
    this.#residualBefore.set(this.#residual)
    const announced = this.#calendar(t)
    let extra = 0
    let expected = 0
    for (let s = 0; s < segments; s++) {
      const planned = announced?.[s] ?? 0
      this.#residual[s] = work[s]! - planned
      extra += work[s]! - planned
      expected += planned
    }
    if (expected > 0) this.#surprise += 0.3 * (extra / expected - this.#surprise)
    this.state.observe(work)
  }

  #learn(work: ArrayLike<number>): void {
    if (this.#issued.length < this.#horizon) return
    const features = this.#issued.shift()!
    const mean = this.#means.shift()!
    const { segments } = this.state.shape
    const { slow } = this.state
    let chi = 0
    let wide = 0
    let heavy = 0
    for (let s = 0; s < segments; s++) {
      const error = work[s]! - mean[s]!
      this.#square[s]! += 0.02 * (error * error - this.#square[s]!)
      this.#models[classOf(features[s * this.#size + 2]!)]!.add(
        features,
        s * this.#size,
        work[s]!,
        1 / (slow[s]! + 0.5),
      )
      chi += Math.min(25, (error * error) / (mean[s]! + 0.5))
      if (mean[s]! > 20) {
        wide += Math.min(1, Math.max(0, error * error - mean[s]!) / mean[s]! ** 2)
        heavy++
      }
    }
    for (const model of this.#models) model.solve()
    this.#spread += 0.02 * (Math.max(0.5, chi / segments) - this.#spread)
    if (heavy > 0) this.#wide += 0.02 * (wide / heavy - this.#wide)
  }

  /** The forecast of `horizon` steps after the last one seen. */
  forecast(): SegmentForecast {
    const { segments } = this.state.shape
    const step = this.state.steps - 1 + this.#horizon
    const features = this.#features(step)
    const mean = new Float64Array(segments)
    const deviation = new Float64Array(segments)
    const ready = this.state.steps > 8
    for (let s = 0; s < segments; s++) {
      const at = s * this.#size
      mean[s] = Math.max(
        0,
        ready ? this.#models[classOf(features[at + 2]!)]!.predict(features, at) : features[at + 1]!,
      )
      const variance = this.#spread * mean[s]! + this.#wide * mean[s]! ** 2
      deviation[s] = Math.sqrt(Math.max(variance, 0.5 * this.#square[s]!))
    }
    this.#issued.push(features)
    this.#means.push(mean)
    const gammaPoisson = mean.map((_, s) => features[s * this.#size + 4]!)
    return { step, mean, deviation, gammaPoisson }
  }

  /** Work of a segment at the same hour a day before the step that is forecast next. */
  seasonalNaive(segment: number): number {
    return this.state.at(this.state.steps - 1 + this.#horizon - this.state.shape.day)[segment]!
  }

  /** Total of a step: its slot of the week, by how far the last steps were above theirs. */
  #total(step: number): number {
    const { week, day } = this.state.shape
    const { steps } = this.state
    if (steps < day) return this.#totalFast
    const slot = step % week
    const known = steps >= week ? this.#totalSlots[slot]! : this.#totalSlots[(step - day + week) % week]!
    const ratio = Math.min(2, Math.max(0.5, this.#totalFast / Math.max(1e-9, this.#slotFast)))
    return known * ratio
  }

  /** Gamma-Poisson shares: slow shares as the prior of the daily slot's, these as the prior of the fast ones. */
  #shares(step: number): Float64Array {
    const { segments } = this.state.shape
    const { slow, fast } = this.state
    const slots = this.state.dayProfile(step)
    const sum = (x: Float64Array) =>
      Math.max(
        1e-9,
        x.reduce((a, b) => a + b, 0),
      )
    const slowSum = sum(slow)
    const slotSum = sum(slots)
    const fastSum = sum(fast)
    const prior = PRIOR_STRENGTH * 5
    const seen = fastSum / 0.18
    const shares = new Float64Array(segments)
    for (let s = 0; s < segments; s++) {
      const a = (PRIOR_STRENGTH * (slow[s]! / slowSum) + slots[s]! * 5) / (PRIOR_STRENGTH + slotSum * 5)
      shares[s] = (prior * a + seen * (fast[s]! / fastSum)) / (prior + seen)
    }
    return shares
  }

  #features(step: number): Float64Array {
    const { shape, last, fast, brisk, middle, slow, steps, fastProfile, briskProfile, middleProfile } =
      this.state
    const profile = this.state.smoothProfile(step)
    const n = this.#size
    const x = new Float64Array(shape.segments * n)
    const shares = this.#shares(step)
    const total = this.#total(step)
    const yesterday = this.state.at(step - shape.day)
    const lastWeek = this.state.at(step - shape.week)
    const before = this.state.at(steps - 2)
    const slot = this.state.dayProfile(step)
    const slotNext = this.state.dayProfile(step + 1)
    const slotNow = this.state.dayProfile(steps - 1)
    const weekSlot = this.state.weekProfile(step)
    for (let s = 0, at = 0; s < shape.segments; s++, at += n) {
      x[at] = last[s]!
      x[at + 1] = fast[s]!
      x[at + 2] = middle[s]!
      x[at + 3] = slow[s]!
      x[at + 4] = total * shares[s]!
      x[at + 5] = yesterday[s]!
      x[at + 6] = slot[s]!
      x[at + 7] = slotNext[s]!
      x[at + 8] = lastWeek[s]!
      x[at + 9] = weekSlot[s]!
      x[at + 10] = fast[s]! * Math.min(2, Math.max(0.5, (slot[s]! + 1) / (slotNow[s]! + 1)))
      const usual = Math.max(middle[s]!, slot[s]!)
      x[at + 11] = Math.max(0, last[s]! - usual - 3 * Math.sqrt(usual + 1))
      x[at + 12] = before[s]!
      x[at + 14] = brisk[s]!
      x[at + 15] = profile[s]!
      x[at + 16] = fastProfile[s]!
      x[at + 17] = briskProfile[s]!
      x[at + 18] = middleProfile[s]!
      const level = Math.max(0, middle[s]! - middleProfile[s]! + profile[s]!)
      const noise = Math.sqrt(level + 0.5)
      x[at + 19] = beyond(fast[s]! - fastProfile[s]! + profile[s]! - level, noise * 0.42, 2)
      x[at + 20] = beyond(brisk[s]! - briskProfile[s]! + profile[s]! - level, noise * 0.25, 2)
      x[at + 21] = beyond(middle[s]! - middleProfile[s]! + profile[s]! - slow[s]!, noise * 0.16, 2)
      x[at + 13] = Math.min(last[s]!, before[s]!)
    }
    this.#announce(step, x)
    return x
  }

  #announce(step: number, x: Float64Array): void {
    const { shape, steps } = this.state
    const planned = CAL_LAGS.map((lag) => this.#calendar(step + lag) ?? NO_WORK)
    const now = this.#calendar(steps - 1) ?? NO_WORK
    const before = this.#calendar(steps - 2) ?? NO_WORK
    const any = planned.some((p) => p.length > 0) || now.length > 0 || before.length > 0
    if (!any) return
    for (let s = 0; s < shape.segments; s++) {
      let at = s * this.#size + PLAIN
      for (const p of planned) x[at++] = p[s] ?? 0
      x[at++] = now[s] ?? 0
      x[at++] = before[s] ?? 0
      const calm = (now[s] ?? 0) === 0 && (planned[2]![s] ?? 0) === 0
      x[at++] = calm ? 0 : this.#residual[s]!
      x[at++] = calm ? 0 : this.#residualBefore[s]!
      for (const k of [0, 1, 2]) x[at++] = (planned[k]![s] ?? 0) * this.#surprise
    }
  }

  #arrays(): Float64Array[] {
    return [this.#totalSlots, this.#residual, this.#residualBefore, this.#square]
  }

  #scalars(): number[] {
    return [this.#totalFast, this.#slotFast, this.#surprise, this.#spread, this.#wide]
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    this.state.encode(out)
    for (const model of this.#models) model.encode(out)
    for (const values of [...this.#arrays(), this.#scalars()]) putNumbers(out, values)
    putList(out, this.#issued)
    putList(out, this.#means)
  }

  /** Reads a state of the same shape and horizon. */
  decode(from: ByteReader): void {
    this.state.decode(from)
    for (const model of this.#models) model.decode(from)
    for (const values of this.#arrays()) takeNumbers(from, values)
    this.#totalFast = from.f64()
    this.#slotFast = from.f64()
    this.#surprise = from.f64()
    this.#spread = from.f64()
    this.#wide = from.f64()
    this.#issued.splice(0, Infinity, ...takeList(from))
    this.#means.splice(0, Infinity, ...takeList(from))
  }
}
