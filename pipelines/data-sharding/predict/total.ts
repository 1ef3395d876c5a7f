import { type ByteReader, type ByteWriter, quantileType7 } from '#core/math'
import { putList, putNumbers, takeList, takeNumbers } from './codec.ts'
import { LeastSquares } from './rls.ts'

/** Announced work of a whole service at a step. */
export type AnnouncedTotal = (step: number) => number

const FEATURES = 14
/** Weeks of errors that speak for those to come: crowds that nobody announced come a few times a week. */
const ERROR_WEEKS = 2
const LEAST_ERRORS = 20
/** What lies so many mean distances from its slot of the week teaches the slot no more than that: a crowd passes. */
const UNUSUAL = 3
/** Until there are errors: as if they were spread evenly over four standard deviations of a Poisson total. */
const UNKNOWN = Float64Array.from({ length: 40 }, (_, k) => 4 * ((k + 0.5) / 40 - 0.5))
const RIDGE = 0.02
const FORGETTING = 0.9985

/** A forecast of a total, with the distribution that past errors speak for. */
export interface TotalForecast {
  readonly mean: number
  quantile(p: number): number
  /** Expected work of those totals that exceed a limit, counted whole: what is late if no more than that can be served in time. */
  above(limit: number): number
}

/**
 * Total work of a service `lead` steps ahead of the step being decided: regression on levels, slots of day and week,
 * slots by how far the last steps were above theirs, and the calendar. Quantiles come from its last errors, scaled by
 * the square root of the forecast.
 */
export class TotalForecaster {
  readonly #day: number
  readonly #week: number
  readonly #ahead: number
  readonly #announced: AnnouncedTotal
  readonly #model: LeastSquares
  /** Totals of the last steps, step t at `t % length`. */
  readonly #past: Float64Array
  #steps = 0
  readonly #daySlots: Float64Array
  readonly #weekSlots: Float64Array
  readonly #issued: { x: Float64Array; mean: number }[] = []
  readonly #errors: number[] = []
  #fast = 0
  #middle = 0
  #slow = 0
  #fastDay = 0
  #fastWeek = 0
  /** Mean distance of a total from its slot of the week. */
  #off = 0

  /** `ahead`: steps between the last one seen and the one forecast. */
  constructor(day: number, week: number, ahead: number, announced: AnnouncedTotal) {
    this.#day = day
    this.#week = week
    this.#ahead = ahead
    this.#announced = announced
    const prior = new Float64Array(FEATURES)
    prior[0] = 0.5
    prior[8] = 0.5
    this.#model = new LeastSquares(prior, RIDGE, FORGETTING)
    this.#past = new Float64Array(week + ahead + 4)
    this.#daySlots = new Float64Array(day)
    this.#weekSlots = new Float64Array(week)
  }

  /** Steps seen. */
  get steps(): number {
    return this.#steps
  }

  /** Takes the next total in. */
  observe(total: number): void {
    const t = this.#steps
    if (this.#issued.length >= this.#ahead) {
      const { x, mean } = this.#issued.shift()!
      this.#model.add(x, 0, total, 1 / Math.max(1, this.#slow))
      this.#model.solve()
      this.#errors.push((total - mean) / Math.sqrt(Math.max(1, mean)))
      if (this.#errors.length > ERROR_WEEKS * this.#week) this.#errors.shift()
    }
    const own = total - this.#announced(t)
    const rate = (r: number) => Math.max(r, 1 / (t + 1))
    this.#fast += rate(0.5) * (own - this.#fast)
    this.#middle += rate(0.1) * (own - this.#middle)
    this.#slow += rate(0.01) * (own - this.#slow)
    this.#fastDay += rate(0.5) * (this.#dayOf(t) - this.#fastDay)
    this.#fastWeek += rate(0.5) * (this.#weekOf(t) - this.#fastWeek)
    const day = t % this.#day
    const week = t % this.#week
    this.#daySlots[day]! += (t < this.#day ? 1 : 0.2) * (own - this.#daySlots[day]!)
    if (t < this.#week) this.#weekSlots[week] = own
    else {
      const off = own - this.#weekSlots[week]!
      const usual = this.#off * UNUSUAL
      this.#weekSlots[week]! += 0.4 * Math.max(-usual, Math.min(usual, off))
      this.#off += 0.01 * (Math.min(Math.abs(off), 2 * usual + 1) - this.#off)
    }
    this.#past[t % this.#past.length] = total
    this.#steps++
  }

  #dayOf(step: number): number {
    const slot = step % this.#day
    return slot < this.#steps ? this.#daySlots[slot]! : this.#fast
  }

  #weekOf(step: number): number {
    const slot = step % this.#week
    return slot < this.#steps ? this.#weekSlots[slot]! : this.#dayOf(step)
  }

  #ownAt(step: number): number {
    const isKept = step >= 0 && step < this.#steps && step >= this.#steps - this.#past.length
    return isKept ? this.#past[step % this.#past.length]! - this.#announced(step) : this.#fast
  }

  #features(step: number): Float64Array {
    const t = this.#steps
    const ratio = (now: number) => Math.min(2, Math.max(0.5, this.#fast / Math.max(1e-9, now)))
    const day = this.#dayOf(step)
    const week = this.#weekOf(step)
    return Float64Array.of(
      this.#ownAt(t - 1),
      this.#ownAt(t - 2),
      this.#fast,
      this.#middle,
      day,
      week,
      this.#ownAt(step - this.#day),
      this.#ownAt(step - this.#week),
      week * ratio(this.#fastWeek),
      day * ratio(this.#fastDay),
      this.#announced(step),
      this.#announced(t - 1),
      this.#dayOf(t - 1),
      this.#weekOf(t - 1),
    )
  }

  /** The forecast `ahead` steps after the last one seen; call it once per step. */
  forecast(): TotalForecast {
    const x = this.#features(this.#steps - 1 + this.#ahead)
    const mean = Math.max(0, this.#steps < 8 ? this.#fast : this.#model.predict(x, 0))
    this.#issued.push({ x, mean })
    const errors = this.#errors.length < LEAST_ERRORS ? UNKNOWN : Float64Array.from(this.#errors).sort()
    const scale = Math.sqrt(Math.max(1, mean))
    return {
      mean,
      quantile: (p) => Math.max(0, mean + quantileType7(errors, p) * scale),
      above(limit) {
        let sum = 0
        for (let k = errors.length - 1; k >= 0; k--) {
          const total = mean + errors[k]! * scale
          if (total <= limit) break
          sum += total
        }
        return sum / errors.length
      },
    }
  }

  #scalars(): number[] {
    return [this.#fast, this.#middle, this.#slow, this.#fastDay, this.#fastWeek, this.#off]
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.varint(this.#steps)
    this.#model.encode(out)
    for (const values of [this.#past, this.#daySlots, this.#weekSlots, this.#scalars()])
      putNumbers(out, values)
    putList(out, [this.#errors, ...this.#issued.map(({ x, mean }) => [...x, mean])])
  }

  /** Reads a state of the same shape. */
  decode(from: ByteReader): void {
    this.#steps = from.varint()
    this.#model.decode(from)
    for (const values of [this.#past, this.#daySlots, this.#weekSlots]) takeNumbers(from, values)
    this.#fast = from.f64()
    this.#middle = from.f64()
    this.#slow = from.f64()
    this.#fastDay = from.f64()
    this.#fastWeek = from.f64()
    this.#off = from.f64()
    const [errors, ...issued] = takeList(from)
    this.#errors.splice(0, Infinity, ...(errors ?? []))
    this.#issued.splice(0, Infinity, ...issued.map((row) => ({ x: row.slice(0, -1), mean: row.at(-1)! })))
  }
}
