import type { ByteReader, ByteWriter } from '#core/math'
import { putNumbers, takeNumbers } from './codec.ts'

/** What is remembered of the past of one service: work by segment, its levels and its daily profile. */
export interface SeriesShape {
  readonly segments: number
  /** Steps of a day and of a week. */
  readonly day: number
  readonly week: number
}

const FAST = 0.3
const BRISK = 0.12
const NEAR_SLOTS = 4
const MIDDLE = 0.05
const SLOW = 0.005
const SLOT = 0.15

/** Levels of all segments at several speeds, and what they did at the same hour of former days; O(segments) per step. */
export class LoadState {
  readonly shape: SeriesShape
  /** Steps observed; the last one observed has number `steps - 1`. */
  steps = 0
  readonly last: Float64Array
  readonly fast: Float64Array
  readonly brisk: Float64Array
  readonly middle: Float64Array
  /** The smoothed daily profile as the EWMAs of the same names would have followed it. */
  readonly fastProfile: Float64Array
  readonly briskProfile: Float64Array
  readonly middleProfile: Float64Array
  readonly slow: Float64Array
  /** EWMA over days by slot of the day, at `slot * segments + segment`. */
  readonly daySlots: Float64Array
  readonly weekSlots: Float64Array
  readonly #past: Float64Array
  readonly #keep: number
  readonly #smooth: Float64Array

  constructor(shape: SeriesShape) {
    const { segments, day, week } = shape
    const column = (n: number) => new Float64Array(n * segments)
    this.shape = shape
    this.last = column(1)
    this.fast = column(1)
    this.brisk = column(1)
    this.middle = column(1)
    this.fastProfile = column(1)
    this.briskProfile = column(1)
    this.middleProfile = column(1)
    this.#smooth = column(1)
    this.slow = column(1)
    this.daySlots = column(day)
    this.weekSlots = column(week)
    this.#keep = week + 4
    this.#past = column(this.#keep)
  }

  /** Takes the next step in. */
  observe(work: ArrayLike<number>): void {
    const { segments, day, week } = this.shape
    const t = this.steps++
    const first = t === 0
    const speed = (rate: number) => Math.max(rate, 1 / (t + 1))
    const middle = speed(MIDDLE)
    const slow = speed(SLOW)
    const slot = (t % day) * segments
    const brisk = speed(BRISK)
    const profile = this.smoothProfile(t)
    const weekSlot = (t % week) * segments
    for (let s = 0; s < segments; s++) {
      const y = work[s]!
      this.last[s] = y
      this.fast[s]! += (first ? 1 : FAST) * (y - this.fast[s]!)
      this.brisk[s]! += brisk * (y - this.brisk[s]!)
      const usual = profile[s]!
      this.fastProfile[s]! += (first ? 1 : FAST) * (usual - this.fastProfile[s]!)
      this.briskProfile[s]! += brisk * (usual - this.briskProfile[s]!)
      this.middleProfile[s]! += middle * (usual - this.middleProfile[s]!)
      this.middle[s]! += middle * (y - this.middle[s]!)
      this.slow[s]! += slow * (y - this.slow[s]!)
      this.daySlots[slot + s]! += (t < day ? 1 : SLOT) * (y - this.daySlots[slot + s]!)
      this.weekSlots[weekSlot + s]! += (t < week ? 1 : 0.5) * (y - this.weekSlots[weekSlot + s]!)
    }
    this.#past.set(work, (t % this.#keep) * segments)
  }

  /** Work of a past step, at most `week + 4` steps ago; what was longest ago, or the last step, where it is not known. */
  at(step: number): Float64Array {
    const { segments } = this.shape
    if (step < 0 || step >= this.steps || step < this.steps - this.#keep) return this.last
    const row = step % this.#keep
    return this.#past.subarray(row * segments, (row + 1) * segments)
  }

  /** The daily profile at a step; the middle level where that slot was never seen. */
  dayProfile(step: number): Float64Array {
    const { segments, day } = this.shape
    const slot = step % day
    return slot < this.steps ? this.daySlots.subarray(slot * segments, (slot + 1) * segments) : this.middle
  }

  /** The daily profile over the slots around a step: less noise, and a little blunter. Overwritten by the next call. */
  smoothProfile(step: number): Float64Array {
    const { segments, day } = this.shape
    const out = this.#smooth.fill(0)
    let used = 0
    for (let k = -NEAR_SLOTS; k <= NEAR_SLOTS; k++) {
      const slot = (((step + k) % day) + day) % day
      if (slot >= this.steps) continue
      used++
      const at = slot * segments
      for (let s = 0; s < segments; s++) out[s]! += this.daySlots[at + s]!
    }
    if (used === 0) out.set(this.middle)
    else for (let s = 0; s < segments; s++) out[s]! /= used
    return out
  }

  weekProfile(step: number): Float64Array {
    const { segments, week } = this.shape
    const slot = step % week
    return slot < this.steps
      ? this.weekSlots.subarray(slot * segments, (slot + 1) * segments)
      : this.dayProfile(step)
  }

  #arrays(): Float64Array[] {
    const { last, fast, brisk, middle, slow, fastProfile, briskProfile, middleProfile } = this
    const levels = [last, fast, brisk, middle, slow, fastProfile, briskProfile, middleProfile]
    return [...levels, this.daySlots, this.weekSlots, this.#past]
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.varint(this.steps)
    for (const values of this.#arrays()) putNumbers(out, values)
  }

  /** Reads a state of the same shape. */
  decode(from: ByteReader): void {
    this.steps = from.varint()
    for (const values of this.#arrays()) takeNumbers(from, values)
  }
}
