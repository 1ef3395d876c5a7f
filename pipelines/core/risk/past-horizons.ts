import type { ByteReader, ByteWriter } from '#core/math'
import type { Side } from './crossing.ts'
import { logOddsOf } from './online-logistic.ts'

/** A limit and the horizon it is asked about. */
export interface LimitAhead {
  readonly issuedAtMs: number
  readonly horizonMs: number
  readonly limit: number
  readonly side: Side
}

/** Terms that `terms` writes. */
export const PAST_TERMS = 8

const DAY_MS = 86_400_000
/** Horizons kept: six days of hours. */
const KEPT = 144
/** Past days whose same time is looked at. */
const DAYS = 6
/** Horizons over which the share of crossings is counted: a day and three days of hours. */
const SHORT = 24
const LONG = 72
/** Horizons of the recent past whose worst value counts. */
const RECENT = 3
/** Memory of the roughness, in horizons. */
const ROUGH_MEMORY = 24
/** What stands for the roughness and for levels (logarithms over the limit) while nothing is known. */
const ROUGH_AT_FIRST = 0.3
const LEVEL_AT_FIRST = -0.5
const MOST_ROUGH = 1.5
/** Share of the limit that is added to both before the logarithm of their ratio: zeros are then as far away as a twentieth. */
const OFFSET = 0.05
/** Logarithms over the limit are held within these. */
const LEAST_LEVEL = -1
const MOST_LEVEL = 0.5

/** What the last horizons of one series were like, for its own risks: the worst value of each, and how rough it is within. 0.7 kB. */
export class PastHorizons {
  readonly #worst = new Float32Array(KEPT).fill(Number.NaN)
  /** Number of the newest horizon since 1970; -1: none. */
  #newest = -1
  #last = Number.NaN
  /** Mean |change| over mean |value|, on average over the last horizons. */
  #rough = ROUGH_AT_FIRST
  /** Of the horizon that is not over: sums of |change| and of |value|. */
  #openMoves = 0
  #openSizes = 0
  #ended = 0

  /** A value, in time order; one that is not finite tells nothing. */
  observe(value: number): void {
    if (!Number.isFinite(value)) return
    if (!Number.isNaN(this.#last)) this.#openMoves += Math.abs(value - this.#last)
    this.#openSizes += Math.abs(value)
    this.#last = value
  }

  /** A horizon is over; `worst` is its worst value, NaN if it had none. */
  end(untilMs: number, horizonMs: number, worst: number): void {
    const number = Math.round(untilMs / horizonMs)
    // Horizons of another length than before: what is kept is of no use.
    if (number <= this.#newest) this.#worst.fill(Number.NaN)
    else
      for (let gap = Math.max(this.#newest + 1, number - KEPT + 1); gap < number; gap++)
        this.#put(gap, Number.NaN)
    this.#put(number, worst)
    this.#newest = number
    this.#ended = Math.min(ROUGH_MEMORY, this.#ended + 1)
    const rough = this.#openSizes > 0 ? this.#openMoves / this.#openSizes : 0
    // Bounded one by one: a single wild value is forgotten like any other. NaN: values too large to add up.
    this.#rough += ((rough < MOST_ROUGH ? rough : MOST_ROUGH) - this.#rough) / this.#ended
    this.#openMoves = 0
    this.#openSizes = 0
  }

  /**
   * The terms of a question to `out[0..PAST_TERMS)`: twice the logarithm over the limit of the last value, of the worst of the last horizon,
   * of the last three, and of this time on past days on average; the roughness; and half the log-odds of the share of horizons that would have
   * crossed this limit, of the last 24 and 72, and of `raw`. All about within -4..4, larger is worse.
   */
  terms(ahead: LimitAhead, raw: number, out: Float64Array): void {
    const known = this.#level(this.#at(this.#newest), ahead)
    const last = Number.isNaN(this.#last) ? LEVEL_AT_FIRST : this.#level(this.#last, ahead)
    const worst = Number.isNaN(known) ? last : known
    out[0] = 2 * last
    out[1] = 2 * worst
    out[2] = 2 * this.#recent(worst, ahead)
    out[3] = 2 * this.#sameTime(worst, ahead)
    out[4] = 2 * (this.#rough - ROUGH_AT_FIRST)
    this.#shares(ahead, out)
    out[7] = half(raw)
  }

  #put(number: number, worst: number): void {
    this.#worst[number % KEPT] = worst
  }

  /** Worst value of a horizon; NaN where it is not kept. */
  #at(number: number): number {
    return number < 0 || number > this.#newest || number <= this.#newest - KEPT
      ? Number.NaN
      : (this.#worst[number % KEPT] as number)
  }

  /** Logarithm of a value over the limit, towards the bad side, within its bounds; NaN if the value is. */
  #level(value: number, { limit, side }: LimitAhead): number {
    if (Number.isNaN(value) || !(limit > 0)) return value * 0
    const offset = OFFSET * limit
    const ratio = Math.log((Math.max(0, value) + offset) / (limit + offset))
    return Math.max(LEAST_LEVEL, Math.min(MOST_LEVEL, side === 'above' ? ratio : -ratio))
  }

  #recent(worst: number, ahead: LimitAhead): number {
    let level = worst
    for (let k = 1; k < RECENT; k++) {
      const before = this.#level(this.#at(this.#newest - k), ahead)
      if (before > level) level = before
    }
    return level
  }

  #sameTime(otherwise: number, ahead: LimitAhead): number {
    const perDay = Math.round(DAY_MS / ahead.horizonMs)
    if (perDay < 1) return otherwise
    const coming = Math.round((ahead.issuedAtMs + ahead.horizonMs) / ahead.horizonMs)
    let sum = 0
    let days = 0
    for (let day = 1; day <= DAYS; day++) {
      const level = this.#level(this.#at(coming - day * perDay), ahead)
      if (Number.isNaN(level)) continue
      sum += level
      days++
    }
    return days > 0 ? sum / days : otherwise
  }

  #shares({ limit, side }: LimitAhead, out: Float64Array): void {
    let crossed = 0
    let known = 0
    // As the values kept are rounded: one that stands on the limit has not crossed it.
    const rounded = Math.fround(limit)
    for (let k = 0; k < LONG; k++) {
      if (k === SHORT) out[5] = shareTerm(crossed, known)
      const worst = this.#at(this.#newest - k)
      if (Number.isNaN(worst)) continue
      known++
      if (side === 'above' ? worst > rounded : worst < rounded) crossed++
    }
    out[6] = shareTerm(crossed, known)
  }

  encode(writer: ByteWriter): void {
    for (const value of [this.#newest, this.#last, this.#rough, this.#openMoves, this.#openSizes])
      writer.f64(value)
    writer.varint(this.#ended)
    for (const value of this.#worst) writer.f32(value)
  }

  /** Takes over what `encode` wrote. */
  decode(reader: ByteReader): void {
    this.#newest = reader.f64()
    this.#last = reader.f64()
    this.#rough = reader.f64()
    this.#openMoves = reader.f64()
    this.#openSizes = reader.f64()
    this.#ended = reader.varint()
    for (let i = 0; i < KEPT; i++) this.#worst[i] = reader.f32()
  }
}

/** Half the log-odds + 1: near 0 for a risk of one in eight. */
const half = (probability: number): number => logOddsOf(probability) / 2 + 1

/** As if a third of a horizon had crossed besides; without any, 0.15. */
const shareTerm = (crossed: number, known: number): number =>
  half(known === 0 ? 0.15 : (crossed + 0.3) / (known + 1))
