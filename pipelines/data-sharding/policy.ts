import type { ByteReader, ByteWriter } from '#core/math'
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
  LAZY_SPREAD,
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
export const POLICY_VERSION = 'data-sharding-2'

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
export type PlanName =
  | 'forecast, spare replicas stay'
  | 'forecast, no spare replicas'
  | 'forecast'
  | 'level'
  | 'reactive, spare replicas stay'
  | 'reactive'
  | 'static hot replicas'

/** Steps with less than this share of the usual work do not count: nobody waits then. */
const QUIET = 0.25
/** A load this many standard deviations above what was expected is taken to last: at this share of it. */
const SURPRISE = 4
const LASTS = 0.85
/** What another plan must have saved beside the copies that it takes to get there: a step at twice the mean. */
const DOUBT = 1
/** ... and so many standard deviations of what chance adds up to. */
const CHANCE = 2
/** Days over which costs are told. */
const MEMORY_DAYS = 7
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
  { name: 'forecast, spare replicas stay', on: 'forecast', spread: LAZY_SPREAD },
  { name: 'forecast, no spare replicas', on: 'forecast', spread: null },
  { name: 'forecast', on: 'forecast', spread: SPREAD },
  { name: 'level', on: 'level', spread: SPREAD },
  { name: 'reactive, spare replicas stay', on: 'last', spread: LAZY_SPREAD },
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
 * Where segments are to lie. Plans on the forecast, on a slow level, on the last step, and of hot replicas set once run
 * beside each other on the loads that came, each from the start, and one is followed, so that a forecast that does not pay
 * is not used. It is left for another once following it has cost more, since the other became the cheaper one, than
 * the copies that it takes to get there (the ski-rental rule: never much more than twice what hindsight would have paid; the
 * sum is a CUSUM, Page 1954, so that what was long ago does not weigh against a plan that is better now).
 * Pure: the state is a function of the steps seen.
 */
export class ShardPolicy {
  readonly options: PolicyOptions
  readonly layout: Layout
  readonly #flow: Flow
  readonly #contenders: readonly Contender<PlanName>[]
  readonly #level: Float64Array
  readonly #hot: Float64Array
  readonly #hotLayout: Layout
  readonly #expected: Float64Array[] = []
  #followed: PlanName = PLANS[0]!.name
  #steps = 0

  constructor(options: PolicyOptions) {
    const { segments, instances } = options
    this.options = options
    this.layout = rendezvousLayout(segments, instances)
    this.#flow = new Flow(segments, instances)
    this.#level = new Float64Array(segments)
    this.#hot = new Float64Array(segments)
    this.#hotLayout = this.layout.clone()
    this.#contenders = PLANS.map(({ name, spread }) => new Contender(name, options, spread))
  }

  /** Starts from a layout that stands already. */
  adopt(layout: Layout): void {
    this.layout.copyFrom(layout)
    for (const contender of this.#contenders) contender.adopt(layout)
  }

  /** One step: what came is scored under every plan, every plan goes on, and the layout follows the one that pays. */
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
    return Object.fromEntries(this.#contenders.map(({ name, mean }) => [name, mean])) as Record<
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

  /** Every plan serves what came and goes on; what following the present one cost beside each is summed up. */
  #score(input: PolicyInput, step: ContenderStep): void {
    this.#setHot(step)
    const works = { forecast: this.#risky(input), level: this.#level, last: input.last, hot: this.#hot }
    const memory = Math.max(1 / (MEMORY_DAYS * this.options.day), 1 / this.#steps)
    const costs = this.#contenders.map((contender, k) => {
      const { on } = PLANS[k]!
      if (on === 'hot') return contender.head(step, this.#hot, this.#hotLayout, this.#flow)
      return contender.plan(step, works[on], this.#flow)
    })
    const paid = costs[PLANS.findIndex(({ name }) => name === this.#followed)]!
    this.#contenders.forEach((contender, k) => {
      contender.mean += memory * (costs[k]! - contender.mean)
      contender.rue(paid - costs[k]!)
    })
  }

  /** Hot replicas are set after a day, and again after 2, 4, 8 ... days: the more is known, the less they change. */
  #setHot({ strength }: ContenderStep): void {
    const { day, instances, limits } = this.options
    const days = this.#steps / day
    if (Number.isInteger(Math.log2(days)) && days >= 1)
      this.#hotLayout.copyFrom(hotReplicas(this.#hot, instances, limits.cap, strength))
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

  /** The plan of most regret beyond the copies that it takes to get there, if any. */
  #choose(): void {
    let most = 0
    let best: Contender<PlanName> | null = null
    for (const contender of this.#contenders) {
      const least = Math.max(DOUBT, CHANCE * Math.sqrt(contender.noise))
      if (contender.name === this.#followed || contender.regret <= least) continue
      const gain = contender.regret - DOUBT - COPY_PRICE * distance(this.layout, contender.layout)
      if (gain <= most) continue
      most = gain
      best = contender
    }
    if (best === null) return
    this.#followed = best.name
    for (const contender of this.#contenders) contender.settle()
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    putLayout(out, this.layout)
    putLayout(out, this.#hotLayout)
    for (const contender of this.#contenders) contender.encode(out)
    putNumbers(out, this.#level)
    putNumbers(out, this.#hot)
    putList(out, this.#expected)
    out.text(this.#followed)
    out.varint(this.#steps)
  }

  /** Reads a state of the same options. */
  decode(from: ByteReader): void {
    takeLayout(from, this.layout)
    takeLayout(from, this.#hotLayout)
    for (const contender of this.#contenders) contender.decode(from)
    takeNumbers(from, this.#level)
    takeNumbers(from, this.#hot)
    this.#expected.splice(0, Infinity, ...takeList(from))
    this.#followed = from.text() as PlanName
    this.#steps = from.varint()
  }
}
