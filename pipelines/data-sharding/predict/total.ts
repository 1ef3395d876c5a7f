import type { ByteReader, ByteWriter } from '#core/math'
import { putList, putNumbers, takeList, takeNumbers } from './codec.ts'
import { PastErrors, type TotalForecast } from './past-errors.ts'
import { LeastSquares } from './rls.ts'

/** Announced work of a whole service at a step. */
export type AnnouncedTotal = (step: number) => number

const FEATURES = 18
/** Weeks of errors that speak for those to come: crowds that nobody announced come a few times a week. */
const ERROR_WEEKS = 2
/** What lies so many mean distances from its slot of the week teaches the slot no more than that: a crowd passes. */
const UNUSUAL = 3
/** Steps' worth of trust in the first weights, nearly: all features are near each other, so that little of it is much. */
const RIDGE = 0.4
const FORGETTING = 0.9995
/** How fast the roughness follows the errors of the last steps, and what of one counts, in times the usual one. */
const ROUGH_RATE = 0.07
const ROUGH_MOST = 5
const LEAST_ROUGH = 0.05

/** What a forecast was made of, until its step comes. */
interface Issued {
  readonly x: Float64Array
  readonly mean: number
  readonly scale: number
}

/** The forecasts of one number of steps ahead. */
interface Lead {
  readonly model: LeastSquares
  readonly errors: PastErrors
  readonly issued: Issued[]
}

/**
 * Total work of a service 1, 2, ... steps after the last one seen: regressions on levels, slots of day and week, slots
 * by how far the last steps were above theirs, and the calendar. Quantiles come from past errors, scaled by the square
 * root of the forecast and by how rough the last steps were: on a day of trouble everything is less certain.
 */
export class TotalForecaster {
  readonly #day: number
  readonly #week: number
  readonly #announced: AnnouncedTotal
  readonly #leads: readonly Lead[]
  /** Totals of the last steps, step t at `t % length`. */
  readonly #past: Float64Array
  #steps = 0
  readonly #daySlots: Float64Array
  readonly #weekSlots: Float64Array
  #fast = 0
  #middle = 0
  #slow = 0
  #fastDay = 0
  #fastWeek = 0
  /** Mean distance of a total from its slot of the week. */
  #off = 0
  /** Size of the errors one step ahead by the square root of the forecast: lately, and as a rule. */
  #rough = 1
  #usual = 1

  /** `leads`: how many steps ahead to forecast. */
  constructor(day: number, week: number, leads: number, announced: AnnouncedTotal) {
    this.#day = day
    this.#week = week
    this.#announced = announced
    const prior = new Float64Array(FEATURES)
    prior[0] = 0.5
    prior[8] = 0.5
    this.#leads = Array.from({ length: leads }, () => ({
      model: new LeastSquares(prior, RIDGE, FORGETTING),
      errors: new PastErrors(ERROR_WEEKS * week),
      issued: [],
    }))
    this.#past = new Float64Array(week + leads + 4)
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
    this.#leads.forEach((lead, k) => {
      if (lead.issued.length > k) this.#learn(lead, total, k === 0)
    })
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

  #learn({ model, errors, issued }: Lead, total: number, isNext: boolean): void {
    const { x, mean, scale } = issued.shift()!
    // Before there is a day ago, features stand for something else: what they would teach holds for long.
    if (this.#steps < this.#day + this.#leads.length) return
    const error = total - mean
    model.add(x, 0, total, 1)
    model.solve()
    errors.add(error, scale)
    if (!isNext) return
    const size = Math.abs(error) / Math.sqrt(Math.max(1, mean))
    const seen = Math.min(size, ROUGH_MOST * this.#usual)
    this.#usual += 0.02 * (seen - this.#usual)
    this.#rough += ROUGH_RATE * (seen - this.#rough)
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
    const [now, then] = [this.#announced(t - 1), this.#announced(step)]
    return Float64Array.of(
      this.#ownAt(t - 1),
      this.#ownAt(t - 2),
      this.#fast,
      this.#middle,
      day,
      week,
      this.#ownAt(step - this.#day),
      this.#ownAt(t < this.#week ? step - this.#day : step - this.#week),
      week * ratio(this.#fastWeek),
      day * ratio(this.#fastDay),
      then,
      now,
      this.#dayOf(t - 1),
      this.#weekOf(t - 1),
      this.#ownAt(t - 3),
      this.#announced(step - 1),
      this.#announced(step + 1),
      // Where all work follows a schedule, what comes on top of it does so, too.
      this.#ownAt(t - 1) * Math.min(2, then / Math.max(1, now)),
    )
  }

  /** The forecasts of 1, 2, ... steps after the last one seen; call it once per step. */
  forecast(): TotalForecast[] {
    return this.#leads.map(({ model, errors, issued }, k) => {
      const x = this.#features(this.#steps + k)
      const mean = Math.max(0, this.#steps < 8 ? this.#fast : model.predict(x, 0))
      const poisson = Math.sqrt(Math.max(1, mean))
      const scale = poisson * Math.max(LEAST_ROUGH, this.#rough)
      issued.push({ x, mean, scale })
      return errors.around(mean, scale, poisson)
    })
  }

  #scalars(): number[] {
    const levels = [this.#fast, this.#middle, this.#slow, this.#fastDay, this.#fastWeek]
    return [...levels, this.#off, this.#rough, this.#usual]
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.varint(this.#steps)
    for (const values of [this.#past, this.#daySlots, this.#weekSlots, this.#scalars()])
      putNumbers(out, values)
    for (const { model, errors, issued } of this.#leads) {
      model.encode(out)
      errors.encode(out)
      putList(
        out,
        issued.map(({ x, mean, scale }) => [...x, mean, scale]),
      )
    }
  }

  /** Reads a state of the same shape. */
  decode(from: ByteReader): void {
    this.#steps = from.varint()
    for (const values of [this.#past, this.#daySlots, this.#weekSlots]) takeNumbers(from, values)
    this.#fast = from.f64()
    this.#middle = from.f64()
    this.#slow = from.f64()
    this.#fastDay = from.f64()
    this.#fastWeek = from.f64()
    this.#off = from.f64()
    this.#rough = from.f64()
    this.#usual = from.f64()
    for (const { model, errors, issued } of this.#leads) {
      model.decode(from)
      errors.decode(from)
      const rows = takeList(from)
      issued.splice(
        0,
        Infinity,
        ...rows.map((row) => ({
          x: row.slice(0, FEATURES),
          mean: row[FEATURES]!,
          scale: row[FEATURES + 1]!,
        })),
      )
    }
  }
}
