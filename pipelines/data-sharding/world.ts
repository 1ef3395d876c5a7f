import type { Forecast, PipelineFeature, ServiceFeature } from '#schemas'
import type { KnownEvent } from '#core/forecasting'
import type { ByteReader, ByteWriter } from '#core/math'
import { ForestallError } from '#core/ports'
import { announcedWork } from './calendar.ts'
import { Capacities } from './capacities.ts'
import { readShares } from './bodies.ts'
import { type DataConfig, type DataService, LATE_SHARE, replicaCap, segmentId } from './config.ts'
import { deviationOf } from './forecasts.ts'
import { Flow, type Layout, rendezvousLayout, type Strength, strengthOf } from './placement/index.ts'
import { type PolicyResult, ShardPolicy } from './policy.ts'
import { ScalePolicy, type ScaleWish } from './scale-policy.ts'

/** Changes with the form of the state, but for that of the placement policy, which has a version of its own. */
const STATE_VERSION = 'service-world-3'
const DAYS = 7
const LEVEL_RATE = 0.01

/** What decisions about one service remember, and the policies that take them. It is the snapshot. */
export class ServiceWorld {
  readonly #config: DataConfig
  readonly #service: DataService
  readonly #policy: ShardPolicy
  readonly #scale: ScalePolicy
  readonly #flow: Flow
  readonly #recent: number[] = []
  /** Where segments lay before the last step. */
  readonly before: Layout
  /** Work expected by segment when a placement decided now takes effect. */
  expected: Float64Array
  #deviation: Float64Array
  #last: Float64Array
  readonly #capacities: Capacities
  /** How strong instances are, by the last step; 0 for those that are down or not to be used. */
  #strength: Strength
  /** End of the last window, and how many there were: the calendar is asked by time, the scaler by step. */
  #timeMs = 0
  #steps = 0
  /** Slow mean of the service's work per window: what the calendar's shares are shares of. */
  #level = 0
  readonly #events: () => readonly KnownEvent[]
  #wish: ScaleWish = { instances: 1, q10: 0, q50: 0, q90: 0, q99: 0, risk: 0, costs: [] }

  /** `events`: the calendar as it stands. */
  constructor(config: DataConfig, service: DataService, events: () => readonly KnownEvent[] = () => []) {
    const { segments, routing, dayWindows: day, leadWindows, patienceWindows } = config
    const instances = service.instances.length
    this.#config = config
    this.#service = service
    this.#events = events
    const limits = { copies: config.copiesPerWindow, cap: replicaCap(config, service) }
    this.#policy = new ShardPolicy({ segments, instances, routing, limits, day })
    this.#scale = new ScalePolicy({
      day,
      week: DAYS * day,
      leadSteps: leadWindows,
      patience: patienceWindows,
      lateShare: service.lateShare ?? LATE_SHARE,
      capacity: service.capacity,
      min: service.minInstances,
      max: service.maxInstances,
      announced: (step) => this.#announced(step),
    })
    this.#flow = new Flow(segments, instances)
    this.#capacities = new Capacities(config, service)
    this.#strength = strengthOf(this.#capacities.list())
    this.#policy.adopt(rendezvousLayout(segments, instances, this.#strength))
    this.before = this.#policy.layout.clone()
    this.expected = new Float64Array(segments)
    this.#deviation = new Float64Array(segments)
    this.#last = new Float64Array(segments)
  }

  /** Where segments are to be. */
  get layout(): Layout {
    return this.#policy.layout
  }

  /** Mean work per instance that is up and that segments may lie on, as expected. */
  get meanLoad(): number {
    return this.expected.reduce((a, b) => a + b, 0) / this.#strength.sum
  }

  /** Share of a segment's reads that the forecast sends to each instance, under a layout. */
  readShares(layout: Layout): Float64Array {
    return readShares(this.expected, layout, this.#config.routing, this.#strength)
  }

  /** Takes over what stands outside. */
  stand(layout: Layout): void {
    this.#policy.layout.copyFrom(layout)
    this.before.copyFrom(layout)
  }

  /** Work that the calendar announces for a step, as known at the last one. */
  #announced(step: number): number {
    const { segments, windowMs } = this.#config
    const endMs = this.#timeMs + (step - this.#steps + 1) * windowMs
    const about = { service: this.#service.service, segments, level: this.#level }
    const window = { startMs: endMs - windowMs, endMs, knownMs: this.#timeMs }
    return announcedWork(this.#events(), about, window)?.reduce((a, b) => a + b, 0) ?? 0
  }

  /**
   * Takes the window that ended at `timeMs` in and plans. Without a forecast of a segment, its last work is expected.
   * `decided`: instances that stand decided.
   */
  step(
    timeMs: number,
    feature: ServiceFeature | undefined,
    forecasts: ReadonlyMap<string, Forecast>,
    pipelines: ReadonlyMap<string, PipelineFeature>,
    decided = this.#service.minInstances,
  ): PolicyResult {
    const { segments } = this.#config
    this.#last = Float64Array.from(feature?.segment_work ?? new Float64Array(segments))
    for (let s = 0; s < segments; s++) {
      const forecast = forecasts.get(segmentId(this.#service.service, s))
      this.expected[s] = forecast?.q50 ?? this.#last[s]!
      this.#deviation[s] = forecast === undefined ? Math.sqrt(this.#last[s]!) : deviationOf(forecast)
    }
    this.#capacities.step(pipelines, decided)
    const capacities = this.#capacities.list()
    this.#strength = strengthOf(capacities)
    const total = this.#last.reduce((a, b) => a + b, 0)
    this.#timeMs = timeMs
    this.#steps++
    this.#level += Math.max(LEVEL_RATE, 1 / this.#steps) * (total - this.#level)
    this.#scale.observe(total)
    this.#wish = this.#scale.wanted(this.#capacities.perWindow)
    this.#recent.push(this.#wish.instances)
    if (this.#recent.length > this.#config.patienceWindows) this.#recent.shift()
    this.before.copyFrom(this.#policy.layout)
    return this.#policy.step({
      last: this.#last,
      mean: this.expected.slice(),
      deviation: this.#deviation.slice(),
      capacities,
    })
  }

  /**
   * Largest expected load by strength over the mean, under a layout. Where work meets only instances that are down it is
   * as bad as if one instance had all of the work.
   */
  imbalance(layout: Layout): number {
    this.#flow.route(this.expected, layout, this.#config.routing, this.#strength)
    const ratio = this.#flow.imbalance()
    return Number.isFinite(ratio) ? ratio : layout.instances
  }

  /** How many instances to ask for: more at once, fewer only once fewer have been wanted for a while. */
  scale(now: number): { wish: ScaleWish; instances: number; capacity: number } {
    const most = this.#recent.reduce((a, b) => Math.max(a, b), 0)
    const isPatient = this.#recent.length >= this.#config.patienceWindows
    const instances = this.#wish.instances > now ? this.#wish.instances : isPatient && most < now ? most : now
    return { wish: this.#wish, instances, capacity: this.#capacities.perWindow }
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.text(STATE_VERSION)
    this.#policy.encode(out)
    this.#scale.encode(out)
    out.varint(this.#recent.length)
    for (const n of this.#recent) out.varint(n)
    for (const x of [this.#timeMs, this.#level]) out.f64(x)
    out.varint(this.#steps)
    this.#capacities.encode(out)
  }

  /** Reads a state of the same service. Throws STATE_UNREADABLE for that of another version. */
  decode(from: ByteReader): void {
    if (from.text() !== STATE_VERSION)
      throw new ForestallError('STATE_UNREADABLE', `the state is not one of ${STATE_VERSION}`)
    this.#policy.decode(from)
    this.#scale.decode(from)
    this.#recent.splice(0, Infinity, ...Array.from({ length: from.varint() }, () => from.varint()))
    this.#timeMs = from.f64()
    this.#level = from.f64()
    this.#steps = from.varint()
    this.#capacities.decode(from)
    this.before.copyFrom(this.#policy.layout)
  }
}
