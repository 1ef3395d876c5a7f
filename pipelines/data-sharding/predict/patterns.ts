import type { ByteReader, ByteWriter } from '#core/math'
import { putNumbers, takeNumbers } from './codec.ts'

const HOURS = 24
const WEEKDAYS = 7
const MONTH_DAYS = 31
const DAY_MS = 86_400_000
const HOUR_MS = 3_600_000
const FAST = 0.2
const SLOW = 0.01
const CYCLE = 0.05
/** Windows that the slow rate counts as, and a cycle's factor before anything is known of it. */
const TRUST = 8
const FORGOTTEN = 1e-4
/** Thursday 1970-01-01: day 0 is weekday 4, where Sunday is 0. */
const FIRST_WEEKDAY = 4

/** Where a time lies in the cycles of day, week and month (UTC). */
function slotsAt(timeMs: number): readonly [hour: number, weekday: number, monthDay: number] {
  const day = Math.floor(timeMs / DAY_MS)
  const hour = Math.floor((timeMs - day * DAY_MS) / HOUR_MS)
  return [hour, (((day + FIRST_WEEKDAY) % WEEKDAYS) + WEEKDAYS) % WEEKDAYS, new Date(timeMs).getUTCDate() - 1]
}

/** Factors of a cycle around 1, learnt from how far counts were from the slow rate. */
class Cycle {
  readonly factors: Float64Array

  constructor(slots: number) {
    this.factors = new Float64Array(slots).fill(1)
  }

  observe(slot: number, count: number, expected: number): void {
    // Shrunk: few queries say little about a cycle.
    const seen = (count + TRUST / 4) / (expected + TRUST / 4)
    this.factors[slot]! += CYCLE * (Math.min(10, seen) - this.factors[slot]!)
  }
}

interface Pattern {
  fast: number
  slow: number
  windows: number
  readonly hours: Cycle
}

/** What to expect of a pattern in an interval. */
export interface PatternForecast {
  readonly probability: number
  readonly expected: number
  readonly q50: number
  readonly q90: number
}

/** Smallest count at which the Poisson distribution of mean `mean` reaches `p`; the normal one for large means. */
function poissonQuantile(mean: number, p: number, z: number): number {
  if (mean > 30) return Math.max(0, Math.round(mean + z * Math.sqrt(mean)))
  let term = Math.exp(-mean)
  let sum = term
  let k = 0
  while (sum < p && k < 200) sum += term *= mean / ++k
  return k
}

/**
 * Rates of query patterns: a slow and a fast level per pattern, its own cycle of the day, and cycles of week and month
 * that the patterns of a service share. O(1) per pattern and window; at most `limit` patterns, the rarest forgotten.
 */
export class PatternRates {
  readonly #patterns = new Map<string, Pattern>()
  readonly #week = new Cycle(WEEKDAYS)
  readonly #month = new Cycle(MONTH_DAYS)
  readonly #limit: number

  constructor(limit: number) {
    this.#limit = limit
  }

  /** Patterns that are known. */
  names(): IterableIterator<string> {
    return this.#patterns.keys()
  }

  /** Takes a window in: queries by pattern; patterns that are absent had none. */
  observe(timeMs: number, counts: ReadonlyMap<string, number>): void {
    const [hour, weekday, monthDay] = slotsAt(timeMs)
    let came = 0
    let expected = 0
    for (const name of counts.keys()) if (!this.#patterns.has(name)) this.#begin(name)
    for (const [name, pattern] of this.#patterns) {
      const count = counts.get(name) ?? 0
      const cycle = this.#week.factors[weekday]! * this.#month.factors[monthDay]!
      came += count
      expected += pattern.slow * pattern.hours.factors[hour]!
      if (pattern.windows > 0) pattern.hours.observe(hour, count, pattern.slow * cycle)
      pattern.windows++
      const own = Math.max(0.1, pattern.hours.factors[hour]! * cycle)
      pattern.fast += Math.max(FAST, 1 / pattern.windows) * (count / own - pattern.fast)
      pattern.slow += Math.max(SLOW, 1 / pattern.windows) * (count / own - pattern.slow)
      if (pattern.slow < FORGOTTEN) this.#patterns.delete(name)
    }
    if (expected > 0) {
      this.#week.observe(weekday, came, expected * this.#month.factors[monthDay]!)
      this.#month.observe(monthDay, came, expected * this.#week.factors[weekday]!)
    }
    this.#forget()
  }

  #begin(name: string): void {
    this.#patterns.set(name, { fast: 0, slow: 0, windows: 0, hours: new Cycle(HOURS) })
  }

  #forget(): void {
    if (this.#patterns.size <= this.#limit) return
    const rarest = [...this.#patterns].sort(([, a], [, b]) => a.slow - b.slow)
    for (const [name] of rarest.slice(0, this.#patterns.size - this.#limit)) this.#patterns.delete(name)
  }

  /**
   * What to expect of a pattern in `windows` windows from `startMs` on; `lift` multiplies the rate (calendar events).
   * P(at least one) is that of a gamma-Poisson mixture whose width shrinks with the windows seen.
   */
  expect(name: string, startMs: number, windowMs: number, windows: number, lift: number): PatternForecast {
    const pattern = this.#patterns.get(name)
    if (pattern === undefined) return { probability: 0, expected: 0, q50: 0, q90: 0 }
    const level = (TRUST * pattern.slow + 5 * pattern.fast) / (TRUST + 5)
    let expected = 0
    for (let w = 0; w < windows; w++) {
      const [hour, weekday, monthDay] = slotsAt(startMs + w * windowMs)
      const cycle = this.#week.factors[weekday]! * this.#month.factors[monthDay]!
      expected += Math.max(0, level * pattern.hours.factors[hour]! * cycle * lift)
    }
    const shape = Math.min(20, 0.5 + pattern.windows / 4)
    const probability = 1 - (1 + expected / shape) ** -shape
    return {
      probability,
      expected,
      q50: poissonQuantile(expected, 0.5, 0),
      q90: poissonQuantile(expected, 0.9, 1.2816),
    }
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    putNumbers(out, this.#week.factors)
    putNumbers(out, this.#month.factors)
    out.varint(this.#patterns.size)
    for (const [name, { fast, slow, windows, hours }] of this.#patterns) {
      out.text(name)
      putNumbers(out, [fast, slow, ...hours.factors])
      out.varint(windows)
    }
  }

  /** Reads a state. */
  decode(from: ByteReader): void {
    takeNumbers(from, this.#week.factors)
    takeNumbers(from, this.#month.factors)
    this.#patterns.clear()
    for (let left = from.varint(); left > 0; left--) {
      const name = from.text()
      const numbers = new Float64Array(2 + HOURS)
      takeNumbers(from, numbers)
      const hours = new Cycle(HOURS)
      hours.factors.set(numbers.subarray(2))
      this.#patterns.set(name, { fast: numbers[0]!, slow: numbers[1]!, windows: from.varint(), hours })
    }
  }
}
