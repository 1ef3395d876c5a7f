import type { ByteReader, ByteWriter } from '#core/math'
import { ForestallError } from '#core/ports'
import {
  approach,
  Contender,
  type ContenderStep,
  COPY_PRICE,
  distance,
  evacuate,
  evenStrength,
  Flow,
  hotReplicas,
  type Layout,
  type PlanScope,
  putLayout,
  rendezvousLayout,
  type SpreadRule,
  strengthOf,
  takeLayout,
} from './placement/index.ts'
import { putList, putNumbers, takeList, takeNumbers } from './predict/index.ts'

/** Version of what decides: it goes into every decision. */
export const POLICY_VERSION = 'data-sharding-3'

/** What the policy decides within. */
export interface PolicyOptions extends PlanScope {
  /** Steps of a day. */
  readonly day: number
}

/** What is known at a step: loads so far, and the forecast of the step that a plan takes effect in. */
export interface PolicyInput {
  /** Work of the last step, by segment. */
  readonly last: Float64Array
  /** Expected work of the next step but one after it, by segment, and its standard deviation. */
  readonly mean: Float64Array
  readonly deviation: Float64Array
  /** What each instance can do, in any unit; 0 for one that is down. All are taken to be equally strong where it is left out. */
  readonly capacities?: ArrayLike<number>
}

/** Names of the plans that the policy carries. */
export type PlanName = 'forecast' | 'level' | 'reactive' | 'static hot replicas'

/** A plan replaces the one in force if its cost is below this share of it, ... */
const BETTER = 0.7
/** ... and lower by this much: 0.1 % of an instance's mean load. */
const LEAST_GAIN = 0.001
/** Sooner, if of late a plan costs below this share of the one in force, and lower by this much. */
const FAR_BETTER = 0.4
const FAR_GAIN = 0.005
/** Days that are of late. Start-up copies, and a load that has changed its kind, must not be carried for a week. */
const LATELY_DAYS = 1
/** Days over which plans are compared. */
const MEMORY_DAYS = 7
/** Life of a choice, in memories. */
const LIFE = 4
/** Steps with less than this share of the usual work do not count: nobody waits then. */
const QUIET = 0.25
/** A load this many standard deviations above what was expected is taken to last: at this share of it. */
const SURPRISE = 4
const LASTS = 0.85
const LEVEL_RATE = 0.05
const HOT_RATE = 0.0005

/** Spare replicas follow what is expected to be hot, once it is hot enough to be worth a copy. */
const SPREAD: SpreadRule = { ratio: 4, least: 0.05 }

/** What a plan is made on, and what it does with the replicas that balance does not need. */
const PLANS: readonly {
  name: PlanName
  on: 'forecast' | 'level' | 'last' | 'hot'
  spread: SpreadRule | null
}[] = [
  { name: 'forecast', on: 'forecast', spread: SPREAD },
  { name: 'level', on: 'level', spread: SPREAD },
  { name: 'reactive', on: 'last', spread: null },
  { name: 'static hot replicas', on: 'hot', spread: null },
]

/** What the policy wants, and what it rests on. */
export interface PolicyResult {
  /** Where every segment is to be. The policy's own: read it, do not keep it. */
  readonly layout: Layout
  readonly copies: number
  /** The plan that is followed. */
  readonly followed: PlanName
  /** Mean imbalance beyond 5 % plus the price of copies, by plan. */
  readonly costs: Readonly<Record<PlanName, number>>
}

/**
 * Where segments are to lie: plans on the forecast, on a slow level, on the last step, and of hot replicas set once run
 * beside each other on the loads that came, each from the start, and the one that did best is followed, so that a forecast
 * that does not pay is not used. Pure: the state is a function of the steps seen.
 */
export class ShardPolicy {
  readonly options: PolicyOptions
  readonly layout: Layout
  readonly #flow: Flow
  readonly #contenders: readonly Contender<PlanName>[]
  readonly #level: Float64Array
  readonly #hot: Float64Array
  /** 1 for each instance that was up in the last step. */
  readonly #up: Uint8Array
  readonly #expected: Float64Array[] = []
  #followed: PlanName = 'forecast'
  #steps = 0
  #heldSince = 0

  constructor(options: PolicyOptions) {
    const { segments, instances } = options
    this.options = options
    this.layout = rendezvousLayout(segments, instances)
    this.#flow = new Flow(segments, instances)
    this.#level = new Float64Array(segments)
    this.#hot = new Float64Array(segments)
    this.#up = new Uint8Array(instances).fill(1)
    this.#contenders = PLANS.map(({ name, spread }) => new Contender(name, options, spread))
  }

  /** Starts from a layout that stands already. */
  adopt(layout: Layout): void {
    this.layout.copyFrom(layout)
    for (const contender of this.#contenders) contender.adopt(layout)
  }

  /** One step: what came is scored under every plan, every plan goes on, and the layout follows the best. */
  step(input: PolicyInput): PolicyResult {
    const { limits, instances } = this.options
    const strength = input.capacities === undefined ? evenStrength(instances) : strengthOf(input.capacities)
    this.#learn(input.last)
    const usual = this.#hot.reduce((a, b) => a + b, 0)
    const isQuiet = input.last.reduce((a, b) => a + b, 0) < QUIET * usual
    this.#score(input, { came: input.last, isQuiet, strength })
    this.#choose()
    const target = this.#contenders.find(({ name }) => name === this.#followed)!.layout
    let copies = approach(input.mean, this.layout, target, limits)
    const left = { copies: limits.copies - copies, cap: limits.cap }
    copies += evacuate(input.mean, this.layout, strength, left, target)
    return { layout: this.layout, copies, followed: this.#followed, costs: this.#costs() }
  }

  #costs(): Record<PlanName, number> {
    return Object.fromEntries(this.#contenders.map(({ name, cost }) => [name, cost])) as Record<
      PlanName,
      number
    >
  }

  #learn(last: Float64Array): void {
    this.#steps++
    for (let s = 0; s < last.length; s++) {
      this.#level[s]! += Math.max(LEVEL_RATE, 1 / this.#steps) * (last[s]! - this.#level[s]!)
      this.#hot[s]! += Math.max(HOT_RATE, 1 / this.#steps) * (last[s]! - this.#hot[s]!)
    }
  }

  /** Every plan serves what came and goes on. */
  #score(input: PolicyInput, step: ContenderStep): void {
    const { day } = this.options
    const works = { forecast: this.#risky(input), level: this.#level, last: input.last, hot: this.#hot }
    const memory = Math.max(1 / (MEMORY_DAYS * day), 1 / this.#steps)
    const late = Math.max(1 / (LATELY_DAYS * day), 1 / this.#steps)
    const hot = this.#hotTarget(step)
    this.#contenders.forEach((contender, k) => {
      const { on } = PLANS[k]!
      const cost =
        on === 'hot'
          ? contender.set(step, this.#hot, hot, this.#flow)
          : contender.plan(step, works[on], this.#flow)
      contender.cost += memory * (cost - contender.cost)
      contender.lately += late * (cost - contender.lately)
    })
  }

  /**
   * Hot replicas are set after a day, and again after 2, 4, 8 ... days: the more is known, the less they change. In between
   * only when an instance goes down or comes up. Null: they stay.
   */
  #hotTarget({ strength }: ContenderStep): Layout | null {
    const { day, instances, limits } = this.options
    const days = this.#steps / day
    const up = strength.values.map((w) => (w > 0 ? 1 : 0))
    const isOther = up.some((u, i) => u !== this.#up[i])
    this.#up.set(up)
    if (days < 1 || !(isOther || Number.isInteger(Math.log2(days)))) return null
    return hotReplicas(this.#hot, instances, limits.cap, strength)
  }

  /** The forecast, and beside it the surprise of the last step where it may last: a rise that was missed costs more. */
  #risky(input: PolicyInput): Float64Array {
    this.#expected.push(input.mean)
    const expected = this.#expected.length > 2 ? this.#expected.shift()! : null
    if (expected === null) return input.mean
    const risky = input.mean.slice()
    for (let s = 0; s < risky.length; s++) {
      const e = expected[s]!
      const y = input.last[s]!
      if (y > e + SURPRISE * Math.sqrt(e + 1) && y > 1.5 * e) risky[s] = Math.max(risky[s]!, LASTS * y)
    }
    return risky
  }

  #choose(): void {
    const memory = MEMORY_DAYS * this.options.day
    if (this.#steps < memory / 2 || this.#steps - this.#heldSince < memory / 4) return
    const held = this.#contenders.find(({ name }) => name === this.#followed)!
    const best = this.#contenders.reduce((a, b) => (b.cost < a.cost ? b : a))
    const latest = this.#contenders.reduce((a, b) => (b.lately < a.lately ? b : a))
    if (this.#isWorth(best, best.cost, held.cost, BETTER, LEAST_GAIN)) this.#follow(best)
    else if (this.#isWorth(latest, latest.lately, held.lately, FAR_BETTER, FAR_GAIN)) this.#follow(latest)
  }

  /** Getting there costs copies, too: they must pay within the life that a choice is taken to have. */
  #isWorth(
    { name, layout }: Contender<PlanName>,
    cost: number,
    now: number,
    share: number,
    gain: number,
  ): boolean {
    if (name === this.#followed) return false
    const life = LIFE * MEMORY_DAYS * this.options.day
    const there = cost + (COPY_PRICE * distance(this.layout, layout)) / life
    return there <= share * now && there <= now - gain
  }

  #follow({ name }: Contender<PlanName>): void {
    this.#followed = name
    this.#heldSince = this.#steps
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.text(POLICY_VERSION)
    putLayout(out, this.layout)
    out.bytes(this.#up)
    for (const contender of this.#contenders) contender.encode(out)
    putNumbers(out, this.#level)
    putNumbers(out, this.#hot)
    putList(out, this.#expected)
    out.text(this.#followed)
    out.varint(this.#steps)
    out.varint(this.#heldSince)
  }

  /** Reads a state of the same options. Throws STATE_UNREADABLE for that of another version. */
  decode(from: ByteReader): void {
    const version = from.text()
    if (version !== POLICY_VERSION)
      throw new ForestallError('STATE_UNREADABLE', `the state is not one of ${POLICY_VERSION}`)
    takeLayout(from, this.layout)
    this.#up.set(from.bytes(this.#up.length))
    for (const contender of this.#contenders) contender.decode(from)
    takeNumbers(from, this.#level)
    takeNumbers(from, this.#hot)
    this.#expected.splice(0, Infinity, ...takeList(from))
    this.#followed = from.text() as PlanName
    this.#steps = from.varint()
    this.#heldSince = from.varint()
  }
}
