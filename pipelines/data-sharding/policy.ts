import type { ByteReader, ByteWriter } from '#core/math'
import {
  approach,
  createPlanner,
  distance,
  Flow,
  hotReplicas,
  type Layout,
  type Planner,
  type PlanLimits,
  rendezvousLayout,
  type Routing,
  Spreader,
} from './placement/index.ts'
import { putList, putNumbers, takeList, takeNumbers } from './predict/index.ts'

/** Version of what decides: it goes into every decision. */
export const POLICY_VERSION = 'data-sharding-1'

/** What the policy decides within. */
export interface PolicyOptions {
  readonly segments: number
  readonly instances: number
  readonly routing: Routing
  /** Copies that may be started per step, and most replicas of all segments. */
  readonly limits: PlanLimits
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
}

/** Names of the plans that the policy carries. */
export type PlanName = 'forecast' | 'level' | 'reactive' | 'static hot replicas'

/** Price of a copy in steps at 1 % more than the mean: below it a plan that moves less is as good. */
const COPY_PRICE = 0.02
const EVEN = 1.05
/** Steps with less than this share of the usual work do not count: nobody waits then. */
const QUIET = 0.25
const WORST = 1

/** What a step costs: imbalance (largest load over the mean) beyond 1.05, at most 1 so that one accident does not decide, and copies. */
export const stepCost = (ratio: number, copies: number): number =>
  Math.min(WORST, Math.max(0, ratio - EVEN)) + COPY_PRICE * copies

/** A plan replaces the one in force if its cost is below this share of it, ... */
const BETTER = 0.7
/** ... and lower by this much: 0.1 % of an instance's mean load. */
const LEAST_GAIN = 0.001
/** A load this many standard deviations above what was expected is taken to last: at this share of it. */
const SURPRISE = 4
const LASTS = 0.85
/** Sooner, if of late a plan costs below this share of the one in force, and lower by this much. */
const FAR_BETTER = 0.4
const FAR_GAIN = 0.005
/** Days that are of late. Start-up copies, and a load that has changed its kind, must not be carried for a week. */
const LATELY_DAYS = 1
/** Life of a choice, in memories. */
const LIFE = 4
/** Days over which plans are compared. */
const MEMORY_DAYS = 7
const LEVEL_RATE = 0.05
const HOT_RATE = 0.0005

/** One plan, kept beside the others on the loads that came. */
interface Contender {
  readonly name: PlanName
  readonly layout: Layout
  /** What serves now: the layout of a step before. */
  readonly serving: Layout
  cost: number
  /** The same over the last days. */
  lately: number
}

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
 * Where segments are to lie: plans on the forecast, on a slow level, on the last step, and of hot replicas set once run beside each other
 * on the loads that came, and the one that did best is followed, so that a forecast that does not pay is not used.
 * Pure: the state is a function of the steps seen.
 */
export class ShardPolicy {
  readonly options: PolicyOptions
  readonly layout: Layout
  readonly #planner: Planner
  readonly #spreader: Spreader
  readonly #flow: Flow
  readonly #contenders: Contender[]
  readonly #level: Float64Array
  readonly #hot: Float64Array
  readonly #expected: Float64Array[] = []
  #followed: PlanName = 'forecast'
  #steps = 0
  #heldSince = 0

  constructor(options: PolicyOptions) {
    const { segments, instances, routing } = options
    this.options = options
    this.layout = rendezvousLayout(segments, instances)
    this.#planner = createPlanner(segments, instances, routing)
    this.#spreader = new Spreader(segments, instances, routing, { ratio: 4, least: 0.05 })
    this.#flow = new Flow(segments, instances)
    this.#level = new Float64Array(segments)
    this.#hot = new Float64Array(segments)
    const names: PlanName[] = ['forecast', 'level', 'reactive', 'static hot replicas']
    this.#contenders = names.map((name) => ({
      name,
      layout: rendezvousLayout(segments, instances),
      serving: rendezvousLayout(segments, instances),
      cost: 0,
      lately: 0,
    }))
  }

  /** Starts from a layout that stands already. */
  adopt(layout: Layout): void {
    this.layout.copyFrom(layout)
    for (const contender of this.#contenders) {
      contender.layout.copyFrom(layout)
      contender.serving.copyFrom(layout)
    }
  }

  /** One step: what came is scored under every plan, every plan goes on, and the layout follows the best. */
  step(input: PolicyInput): PolicyResult {
    const { limits } = this.options
    const memory = MEMORY_DAYS * this.options.day
    this.#learn(input.last)
    const usual = this.#hot.reduce((a, b) => a + b, 0)
    const isQuiet = input.last.reduce((a, b) => a + b, 0) < QUIET * usual
    for (const contender of this.#contenders) {
      const ratio = isQuiet ? 1 : this.#imbalance(input.last, contender.serving)
      contender.serving.copyFrom(contender.layout)
      const copies = this.#advance(contender, input)
      const cost = stepCost(ratio, copies)
      contender.cost += Math.max(1 / memory, 1 / this.#steps) * (cost - contender.cost)
      const late = LATELY_DAYS * this.options.day
      contender.lately += Math.max(1 / late, 1 / this.#steps) * (cost - contender.lately)
    }
    this.#choose()
    const target = this.#contenders.find(({ name }) => name === this.#followed)!.layout
    const copies = approach(input.mean, this.layout, target, limits)
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

  /** Largest load over the mean, under a layout. */
  #imbalance(work: Float64Array, layout: Layout): number {
    this.#flow.route(work, layout, this.options.routing)
    let total = 0
    let most = 0
    for (const load of this.#flow.loads) {
      total += load
      if (load > most) most = load
    }
    return total > 0 ? (most * this.options.instances) / total : 1
  }

  #advance(contender: Contender, input: PolicyInput): number {
    if (contender.name === 'static hot replicas') return this.#setHot(contender)
    const { copies: most, cap } = this.options.limits
    if (contender.name === 'reactive')
      return this.#planner.plan(input.last, contender.layout, { copies: most, cap })
    const work = contender.name === 'level' ? this.#level : this.#risky(input)
    const copies = this.#planner.plan(work, contender.layout, { copies: most, cap })
    return copies + this.#spreader.spread(work, contender.layout, { copies: most - copies, cap })
  }

  /** Hot replicas are set after a day, and again after 2, 4, 8 ... days: the more is known, the less they change. */
  #setHot(contender: Contender): number {
    const { day, instances, limits } = this.options
    const days = this.#steps / day
    if (!Number.isInteger(Math.log2(days)) || days < 1) return 0
    const target = hotReplicas(this.#hot, instances, limits.cap)
    const copies = distance(contender.layout, target)
    contender.layout.copyFrom(target)
    return copies
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
  #isWorth({ name, layout }: Contender, cost: number, now: number, share: number, gain: number): boolean {
    if (name === this.#followed) return false
    const life = LIFE * MEMORY_DAYS * this.options.day
    const there = cost + (COPY_PRICE * distance(this.layout, layout)) / life
    return there <= share * now && there <= now - gain
  }

  #follow({ name }: Contender): void {
    this.#followed = name
    this.#heldSince = this.#steps
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    putLayout(out, this.layout)
    for (const { layout, serving, cost, lately } of this.#contenders) {
      putLayout(out, layout)
      putLayout(out, serving)
      out.f64(cost)
      out.f64(lately)
    }
    putNumbers(out, this.#level)
    putNumbers(out, this.#hot)
    putList(out, this.#expected)
    out.text(this.#followed)
    out.varint(this.#steps)
    out.varint(this.#heldSince)
  }

  /** Reads a state of the same options. */
  decode(from: ByteReader): void {
    takeLayout(from, this.layout)
    for (const contender of this.#contenders) {
      takeLayout(from, contender.layout)
      takeLayout(from, contender.serving)
      contender.cost = from.f64()
      contender.lately = from.f64()
    }
    takeNumbers(from, this.#level)
    takeNumbers(from, this.#hot)
    this.#expected.splice(0, Infinity, ...takeList(from))
    this.#followed = from.text() as PlanName
    this.#steps = from.varint()
    this.#heldSince = from.varint()
  }
}

const putLayout = (out: ByteWriter, layout: Layout) => out.bytes(layout.has)

function takeLayout(from: ByteReader, layout: Layout): void {
  const has = from.bytes(layout.has.length)
  for (let at = 0; at < has.length; at++) {
    const s = Math.floor(at / layout.instances)
    const i = at % layout.instances
    if (has[at] === 1 && !layout.holds(s, i)) layout.add(s, i)
    if (has[at] !== 1 && layout.holds(s, i)) layout.drop(s, i)
  }
}
