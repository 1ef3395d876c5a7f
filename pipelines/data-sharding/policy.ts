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
  isQuiet,
  type Layout,
  type PlanScope,
  putLayout,
  Regrets,
  type RegretRule,
  rendezvousLayout,
  stepCost,
  strengthOf,
  type Style,
  takeLayout,
  totalWork,
} from './placement/index.ts'
import { putList, putNumbers, takeList, takeNumbers } from './predict/index.ts'

/** Version of what decides: it goes into every decision. */
export const POLICY_VERSION = 'data-sharding-5'

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
export type PlanName = 'forecast' | 'steady' | 'reactive' | 'level' | 'static hot replicas'

/** Steps over which costs of plans are compared, and the start-up (first replicas are set) that does not count. */
const MEMORY = 960
const START = 48
const REGRET: RegretRule = { memory: MEMORY, least: 0.9, deviations: 2.5, most: 0.15 }
/** Getting to another layout is paid for by later steps, too: this share of its copies must have paid before. */
const PAID = 0.25
/** With less than this share of the usual work nobody waits: such a step does not count, and nothing is moved for its sake. */
const QUIET = 0.25
/** A load this many standard deviations above what was expected is taken to last: at this share of it. */
const SURPRISE = 4
const LASTS = 0.85
const LEVEL_RATE = 0.05
const HOT_RATE = 0.0005

/** What a plan expects. `blend`: the forecast, and a part of the last step, whose chance lays spare replicas out for more than one case. */
type Basis = 'forecast' | 'blend' | 'last' | 'level' | 'hot'
const BLEND = 0.3

const spread = (ratio: number, least: number): Style => ({ kind: 'spread', rule: { ratio, least } })

type Plans = readonly { readonly name: PlanName; readonly on: Basis; readonly style: Style }[]

/** The first is followed until another one does better. Few spare replicas must be where work is hot, ... */
const SCARCE: Plans = [
  { name: 'forecast', on: 'forecast', style: spread(8, 0.05) },
  { name: 'steady', on: 'blend', style: spread(8, 0.05) },
  { name: 'reactive', on: 'last', style: spread(4, 0.2) },
  { name: 'level', on: 'level', style: spread(4, 0.05) },
  { name: 'static hot replicas', on: 'hot', style: spread(4, 0.05) },
]

/** ... many change places only for much more: the router evens out among them wherever they are, ... */
const AMPLE: Plans = [
  { name: 'forecast', on: 'blend', style: spread(16, 0.1) },
  { name: 'steady', on: 'blend', style: spread(16, 0.2) },
  { name: 'reactive', on: 'last', style: spread(4, 0.2) },
  { name: 'level', on: 'level', style: spread(4, 0.05) },
  { name: 'static hot replicas', on: 'hot', style: spread(4, 0.05) },
]

/** ... and where nothing evens out, what is large lies wide. */
const EQUAL: Plans = [
  { name: 'forecast', on: 'forecast', style: { kind: 'risk', rule: { spread: 2, ratio: 3, least: 0.004 } } },
  { name: 'steady', on: 'forecast', style: spread(4, 0.05) },
  { name: 'level', on: 'level', style: { kind: 'risk', rule: { spread: 2, ratio: 3, least: 0.004 } } },
  { name: 'static hot replicas', on: 'hot', style: spread(4, 0.05) },
]

/** Spare replicas are ample from this many a segment on. */
const AMPLE_SPARES = 0.25

const plansOf = ({ routing, limits, segments }: PlanScope): Plans =>
  routing === 'equal' ? EQUAL : limits.cap - segments < AMPLE_SPARES * segments ? SCARCE : AMPLE

/** What the policy wants, and what it rests on. */
export interface PolicyResult {
  /** Where every segment is to be. The policy's own: read it, do not keep it. */
  readonly layout: Layout
  readonly copies: number
  /** The plan that is followed. */
  readonly followed: PlanName
  /** Mean imbalance beyond 5 % plus the price of copies, by plan, of the plans that this routing has. */
  readonly costs: ReadonlyMap<PlanName, number>
}

/**
 * Where segments are to lie: plans on the forecast, a blend of it with the last step, the last step alone, a slow level, and
 * hot replicas set once run beside each other on the loads that came, each from the start. One is followed, going on from
 * where segments lie, and left once the regret of not having had another is more than it takes to get there, so that a
 * forecast that does not pay is not used. Pure: the state is a function of the steps seen.
 */
export class ShardPolicy {
  readonly options: PolicyOptions
  readonly layout: Layout
  readonly #flow: Flow
  readonly #plans: Plans
  readonly #contenders: readonly Contender<PlanName>[]
  readonly #regrets: Regrets
  /** What serves now, and the copies that were started in the step before. */
  readonly #serving: Layout
  #copies = 0
  readonly #level: Float64Array
  readonly #hot: Float64Array
  /** 1 for each instance that was up in the last step. */
  readonly #up: Uint8Array
  readonly #expected: Float64Array[] = []
  /** Index of the plan that is followed, and whether its own layout is taken on rather than its next step. */
  #followed = 0
  #isApproaching = false
  #steps = 0

  constructor(options: PolicyOptions) {
    const { segments, instances } = options
    this.options = options
    this.layout = rendezvousLayout(segments, instances)
    this.#serving = this.layout.clone()
    this.#flow = new Flow(segments, instances)
    this.#level = new Float64Array(segments)
    this.#hot = new Float64Array(segments)
    this.#up = new Uint8Array(instances).fill(1)
    this.#plans = plansOf(options)
    this.#contenders = this.#plans.map(({ name, style }) => new Contender(name, options, style))
    this.#regrets = new Regrets(this.#plans.length, REGRET)
  }

  /** Starts from a layout that stands already. */
  adopt(layout: Layout): void {
    this.layout.copyFrom(layout)
    this.#serving.copyFrom(layout)
    for (const contender of this.#contenders) contender.adopt(layout)
  }

  /** One step: what came is scored under every plan and ours, every plan goes on, and the layout follows one. */
  step(input: PolicyInput): PolicyResult {
    const { instances } = this.options
    const strength = input.capacities === undefined ? evenStrength(instances) : strengthOf(input.capacities)
    this.#learn(input.last)
    const step = { came: input.last, quietBelow: QUIET * totalWork(this.#hot), strength }
    const works = this.#works(input)
    this.#score(works, step)
    this.#choose()
    const { name } = this.#contenders[this.#followed]!
    this.#copies = this.#go(works[this.#plans[this.#followed]!.on], input.mean, step)
    const costs = new Map(this.#contenders.map((contender) => [contender.name, contender.cost]))
    return { layout: this.layout, copies: this.#copies, followed: name, costs }
  }

  /** What each basis expects. */
  #works(input: PolicyInput): Record<Basis, Float64Array> {
    const forecast = this.#risky(input)
    const blend = forecast.map((x, s) => x + BLEND * (input.last[s]! - x))
    return { forecast, blend, last: input.last, level: this.#level, hot: this.#hot }
  }

  /** The layout goes on as the plan that is followed would, or to where that one is. */
  #go(work: Float64Array, mean: Float64Array, step: ContenderStep): number {
    const { limits } = this.options
    const followed = this.#contenders[this.#followed]!
    if (!this.#isApproaching) return followed.move(work, this.layout, step)
    const copies = approach(mean, this.layout, followed.layout, limits)
    const left = { copies: limits.copies - copies, cap: limits.cap }
    const moved = copies + evacuate(mean, this.layout, step.strength, left, followed.layout)
    const isThere = distance(this.layout, followed.layout) === 0
    this.#isApproaching = this.#isFixed(this.#followed) || !isThere
    return moved
  }

  #learn(last: Float64Array): void {
    this.#steps++
    for (let s = 0; s < last.length; s++) {
      this.#level[s]! += Math.max(LEVEL_RATE, 1 / this.#steps) * (last[s]! - this.#level[s]!)
      this.#hot[s]! += Math.max(HOT_RATE, 1 / this.#steps) * (last[s]! - this.#hot[s]!)
    }
  }

  /** Every plan serves what came and goes on. */
  #score(works: Record<Basis, Float64Array>, step: ContenderStep): void {
    const { routing, day } = this.options
    this.#flow.route(step.came, this.#serving, routing, step.strength)
    const ours = stepCost(isQuiet(step) ? 1 : this.#flow.imbalance(), this.#copies)
    this.#serving.copyFrom(this.layout)
    const memory = Math.max(1 / MEMORY, 1 / this.#steps)
    const hot = this.#hotTarget(step)
    this.#contenders.forEach((contender, k) => {
      const work = works[this.#plans[k]!.on]
      const cost = this.#isFixed(k)
        ? contender.set(step, work, hot, this.#flow)
        : contender.plan(step, work, this.#flow)
      contender.cost += memory * (cost - contender.cost)
      if (this.#steps > Math.max(day, START)) this.#regrets.add(k, ours, cost)
    })
  }

  #isFixed(plan: number): boolean {
    return this.#plans[plan]!.on === 'hot'
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

  /** To another plan we go by its next step, to where ours would be by now (or to what never moves) by its copies. */
  #choose(): void {
    let best = -1
    let most = 0
    for (const [k, { layout }] of this.#contenders.entries()) {
      const isJump = this.#isFixed(k) || k === this.#followed
      const price = isJump ? PAID * COPY_PRICE * distance(this.layout, layout) : 0
      const beyond = this.#regrets.beyond(k, price)
      if (beyond <= most) continue
      most = beyond
      best = k
    }
    if (best < 0) return
    this.#isApproaching = this.#isFixed(best) || best === this.#followed
    this.#followed = best
    this.#regrets.reset()
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
    this.#regrets.encode(out)
    putLayout(out, this.#serving)
    for (const n of [this.#copies, this.#followed, this.#isApproaching ? 1 : 0, this.#steps]) out.varint(n)
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
    this.#regrets.decode(from)
    takeLayout(from, this.#serving)
    this.#copies = from.varint()
    this.#followed = from.varint()
    this.#isApproaching = from.varint() === 1
    this.#steps = from.varint()
  }
}
