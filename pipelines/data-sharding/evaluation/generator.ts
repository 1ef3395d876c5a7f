import { mulberry32 } from '#core/ports'
import { segmentOf } from '../placement/index.ts'
import type { Trace } from './trace.ts'

const KEYS = 4096
const SEGMENTS = 256
const QUERIES = 2000
const DAY = 96
const DAYS = 28
const STEPS = DAY * DAYS
const EVENT_STEPS = 12
const CAMPAIGN_KEYS = 8
const CAMPAIGN_SHARE = 0.3
const FLASH_SHARE = 0.25
const SEEN_AFTER = 2

interface Campaign {
  readonly start: number
  readonly keys: readonly number[]
  readonly factor: number
}

interface Flash {
  readonly start: number
  readonly key: number
}

/** A triangle wave of period 1 between -1 and 1. */
export function triangle(phase: number): number {
  const p = phase - Math.floor(phase)
  return p < 0.5 ? 4 * p - 1 : 3 - 4 * p
}

interface Sums {
  readonly work: Float64Array
  readonly calendar: Float64Array
  readonly true: Float64Array
  readonly seen: Float64Array
}

/** Everything of one run of the generator. The order of the draws is the protocol's. */
class Generator {
  readonly #random
  readonly #weights: Float64Array
  readonly #own: Int32Array
  readonly #segment: Int32Array
  readonly #campaigns: Campaign[]
  readonly #flashes: Flash[]
  readonly #cdf = new Float64Array(KEYS)
  readonly sums: Sums

  constructor(alpha: number, seed: number) {
    this.#random = mulberry32(seed)
    this.#weights = Float64Array.from({ length: KEYS }, (_, r) => (r + 1) ** -alpha)
    this.#own = Int32Array.from({ length: KEYS }, (_, r) => r)
    this.#segment = Int32Array.from({ length: KEYS }, (_, k) => segmentOf(`k${k}`, SEGMENTS))
    for (let r = KEYS - 1; r >= 1; r--) this.#swap(r, this.#int(r + 1))
    this.#campaigns = Array.from({ length: 9 }, (_, c) => this.#campaign(c))
    this.#flashes = Array.from({ length: 14 }, (_, c) => ({
      start: 192 * c + this.#int(180),
      key: this.#int(KEYS),
    }))
    const column = () => new Float64Array(STEPS * SEGMENTS)
    this.sums = { work: column(), calendar: column(), true: column(), seen: column() }
  }

  #int(n: number): number {
    return Math.floor(this.#random.uniform() * n)
  }

  #swap(a: number, b: number): void {
    const key = this.#own[a]!
    this.#own[a] = this.#own[b]!
    this.#own[b] = key
  }

  #campaign(c: number): Campaign {
    const start = 288 * c + this.#int(276)
    const keys = Array.from({ length: CAMPAIGN_KEYS }, () => this.#int(KEYS))
    return { start, keys, factor: 0.6 + 0.8 * this.#random.uniform() }
  }

  step(t: number): void {
    if (t % 16 === 0) {
      const a = this.#int(64)
      this.#swap(a, this.#int(KEYS))
    }
    const z = this.#popularity(t)
    const weekend = Math.floor(t / DAY) % 7 >= 5
    const base = Math.floor(QUERIES * (1 + 0.5 * triangle(t / DAY)) * (weekend ? 0.7 : 1) + 0.5)
    this.#expect(t, base / z)
    for (let q = 0; q < base; q++) this.#count(t, this.#own[this.#rank(this.#random.uniform() * z)]!)
    for (const campaign of this.#campaigns) if (runs(campaign.start, t)) this.#runCampaign(t, campaign)
    for (const flash of this.#flashes) if (runs(flash.start, t)) this.#runFlash(t, flash)
  }

  #popularity(t: number): number {
    let sum = 0
    for (let r = 0; r < KEYS; r++) {
      sum += this.#weights[r]! * (1 + 0.6 * triangle(t / DAY + (this.#own[r]! % 4) / 4))
      this.#cdf[r] = sum
    }
    return sum
  }

  /** First rank whose running sum exceeds `v`. */
  #rank(v: number): number {
    let low = 0
    let high = KEYS - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#cdf[middle]! > v) high = middle
      else low = middle + 1
    }
    return low
  }

  #at(t: number, key: number): number {
    return t * SEGMENTS + this.#segment[key]!
  }

  #count(t: number, key: number): void {
    this.sums.work[this.#at(t, key)]! += 1
  }

  #expect(t: number, perWeight: number): void {
    for (let r = 0, before = 0; r < KEYS; r++) {
      const at = this.#at(t, this.#own[r]!)
      const rate = (this.#cdf[r]! - before) * perWeight
      before = this.#cdf[r]!
      this.sums.true[at]! += rate
      this.sums.seen[at]! += rate
    }
  }

  #runCampaign(t: number, campaign: Campaign): void {
    const announced = (CAMPAIGN_SHARE * QUERIES) / CAMPAIGN_KEYS
    for (const key of campaign.keys) {
      const at = this.#at(t, key)
      this.sums.calendar[at]! += announced
      this.sums.true[at]! += announced * campaign.factor
      this.sums.seen[at]! += announced * campaign.factor
    }
    const queries = Math.floor(CAMPAIGN_SHARE * QUERIES * campaign.factor + 0.5)
    for (let q = 0; q < queries; q++) this.#count(t, campaign.keys[this.#int(CAMPAIGN_KEYS)]!)
  }

  #runFlash(t: number, flash: Flash): void {
    const queries = Math.floor(FLASH_SHARE * QUERIES * 0.8 ** (t - flash.start) + 0.5)
    const at = this.#at(t, flash.key)
    this.sums.work[at]! += queries
    this.sums.true[at]! += queries
    if (t - flash.start >= SEEN_AFTER) this.sums.seen[at]! += queries
  }
}

const runs = (start: number, t: number) => start <= t && t < start + EVENT_STEPS

/** The synthetic load of the protocol: Zipf with exponent `alpha`, cycles, drift, campaigns and flash crowds. */
export function generateTrace(alpha: number, seed: number): Trace {
  const generator = new Generator(alpha, seed)
  for (let t = 0; t < STEPS; t++) generator.step(t)
  const { work, calendar, true: truth, seen } = generator.sums
  return {
    name: `synthetic ${alpha} seed ${seed}`,
    segments: SEGMENTS,
    instances: 8,
    steps: STEPS,
    work,
    calendar,
    start: 7 * DAY,
    t0: 14 * DAY,
    day: DAY,
    week: 7 * DAY,
    leadSteps: 2,
    intensity: { true: truth, seen },
  }
}

/** Check values of a trace: the row of the checksum table. */
export function checksums(trace: Trace): readonly number[] {
  let queries = 0
  let bySegment = 0
  let byStep = 0
  let squares = 0
  for (let at = 0; at < trace.work.length; at++) {
    const y = trace.work[at]!
    queries += y
    bySegment += (at % trace.segments) * y
    byStep += Math.floor(at / trace.segments) * y
    squares += y * y
  }
  const row = trace.work.subarray(1000 * trace.segments, 1001 * trace.segments)
  const most = row.reduce((a, b) => Math.max(a, b), 0)
  return [queries, bySegment, byStep, squares, row.indexOf(most), most]
}
