import type { ByteReader, ByteWriter } from '#core/math'
import { putList, putNumbers, takeList } from './predict/index.ts'

/** What a budget is told. */
export interface BudgetOptions {
  /** Share of all work that may be late. */
  readonly share: number
  /** Steps between a decision and the step that it is for. */
  readonly leadSteps: number
  /** Steps before the price moves. */
  readonly day: number
  /** Steps over which what was late is compared with what was expected to be. */
  readonly memory: number
}

/** The first price: what an instance costs for a step, as a share of what it can do, against work that is late. */
const FIRST = 0.02
const LEAST = 0.002
const MOST = 0.5
/** Steps' worth of work, late and expected, before experience counts: late work is rare and comes in lumps. */
const TRUST = 10
const RATE = 0.005
/** The most that one step moves the price by, in times RATE. */
const LARGEST = 20
const LEVEL_RATE = 0.01

/**
 * The price of instances at which the share of late work comes to what is allowed: it rises while less is expected to be
 * late, and falls while more is (a dual ascent), where what is expected is corrected by how much really was late.
 */
export class LateBudget {
  readonly #options: BudgetOptions
  price = FIRST
  #steps = 0
  /** Mean work of a step; late work that came and that was expected, with a memory. */
  #level = 0
  #late = 0
  #expected = 0
  /** Limit and expected late work of the decisions whose step has not come, oldest first. */
  readonly #issued: (readonly [limit: number, late: number])[] = []

  constructor(options: BudgetOptions) {
    this.#options = options
  }

  /** A decision: the mean expected of its step, the work expected to be late, and from which total on work is late. */
  expect(mean: number, late: number, limit: number): void {
    const { share, day } = this.#options
    this.#issued.push([limit, late])
    this.#level += Math.max(LEVEL_RATE, 1 / ++this.#steps) * (mean - this.#level)
    if (this.#steps <= day || !(this.#level > 0)) return
    const trust = TRUST * this.#level
    const really = late * ((this.#late + trust) / (this.#expected + trust))
    const move = Math.max(-LARGEST, 1 - really / (share * this.#level))
    this.price = Math.min(MOST, Math.max(LEAST, this.price * Math.exp(RATE * move)))
  }

  /** Takes the total of the next step in. */
  observe(total: number): void {
    const { leadSteps, memory, day } = this.#options
    if (this.#issued.length <= leadSteps) return
    const [limit, late] = this.#issued.shift()!
    const kept = 1 - 1 / memory
    const counts = this.#steps > day ? 1 : 0
    this.#late = kept * this.#late + (total > limit ? counts * total : 0)
    this.#expected = kept * this.#expected + counts * late
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    putNumbers(out, [this.price, this.#level, this.#late, this.#expected])
    out.varint(this.#steps)
    putList(out, this.#issued)
  }

  /** Reads a state. */
  decode(from: ByteReader): void {
    this.price = from.f64()
    this.#level = from.f64()
    this.#late = from.f64()
    this.#expected = from.f64()
    this.#steps = from.varint()
    this.#issued.splice(0, Infinity, ...takeList(from).map((row) => [row[0]!, row[1]!] as const))
  }
}
