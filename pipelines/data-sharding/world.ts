import type { Forecast, PipelineFeature, ServiceFeature } from '#schemas'
import type { KnownEvent } from '#core/forecasting'
import type { ByteReader, ByteWriter } from '#core/math'
import { announcedWork } from './calendar.ts'
import { type DataConfig, type DataService, replicaCap, segmentId } from './config.ts'
import { deviationOf } from './forecasts.ts'
import { Flow, type Layout, rendezvousLayout, strengthOf } from './placement/index.ts'
import { type PolicyResult, ShardPolicy } from './policy.ts'
import { ScalePolicy, type ScaleWish } from './scale-policy.ts'

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
  #capacity: number
  /** End of the last window, and how many there were: the calendar is asked by time, the scaler by step. */
  #timeMs = 0
  #steps = 0
  /** Slow mean of the service's work per window: what the calendar's shares are shares of. */
  #level = 0
  readonly #events: () => readonly KnownEvent[]
  /** The last step in which each instance reported itself; -1: in none. */
  readonly #seen: Int32Array
  /** Which instances segments may lie on: 1 or 0 each. */
  #usable: Float64Array
  #wish: ScaleWish = { instances: 1, q50: 0, q90: 0, q99: 0, risk: 0 }

  /** `events`: the calendar as it stands. */
  constructor(config: DataConfig, service: DataService, events: () => readonly KnownEvent[] = () => []) {
    const { segments, routing, dayWindows: day, leadWindows } = config
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
      capacity: service.capacity,
      min: service.minInstances,
      max: service.maxInstances,
      announced: (step) => this.#announced(step),
    })
    this.#flow = new Flow(segments, instances)
    this.#seen = new Int32Array(instances).fill(-1)
    this.#usable = new Float64Array(instances).fill(1)
    if (service.elastic === true) {
      this.#usable.fill(0, service.minInstances)
      this.#policy.adopt(rendezvousLayout(segments, instances, strengthOf(this.#usable)))
    }
    this.before = this.#policy.layout.clone()
    this.expected = new Float64Array(segments)
    this.#deviation = new Float64Array(segments)
    this.#last = new Float64Array(segments)
    this.#capacity = service.capacity
  }

  /** Where segments are to be. */
  get layout(): Layout {
    return this.#policy.layout
  }

  /** Mean work per instance that segments may lie on, as expected. */
  get meanLoad(): number {
    return this.expected.reduce((a, b) => a + b, 0) / this.#usable.reduce((a, b) => a + b, 0)
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

  /** Of an elastic service: the first `decided` instances, as far as they have reported themselves of late. */
  #follow(pipelines: ReadonlyMap<string, PipelineFeature>, decided: number): void {
    const { instances, minInstances, elastic = false } = this.#service
    if (!elastic) return
    instances.forEach((instance, i) => {
      if (pipelines.has(instance)) this.#seen[i] = this.#steps
      const isThere = this.#seen[i]! >= 0 && this.#steps - this.#seen[i]! <= this.#config.patienceWindows
      this.#usable[i] = i < minInstances || (isThere && i < decided) ? 1 : 0
    })
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
    this.#measure(pipelines)
    this.#follow(pipelines, decided)
    const total = this.#last.reduce((a, b) => a + b, 0)
    this.#timeMs = timeMs
    this.#steps++
    this.#level += Math.max(LEVEL_RATE, 1 / this.#steps) * (total - this.#level)
    this.#scale.observe(total)
    this.#wish = this.#scale.wanted(this.#capacity)
    this.#recent.push(this.#wish.instances)
    if (this.#recent.length > this.#config.patienceWindows) this.#recent.shift()
    this.before.copyFrom(this.#policy.layout)
    return this.#policy.step({
      last: this.#last,
      mean: this.expected.slice(),
      deviation: this.#deviation.slice(),
      ...(this.#service.elastic === true ? { capacities: this.#usable } : {}),
    })
  }

  /** Capacity of an instance: the mean of what those that are up report, per window. */
  #measure(pipelines: ReadonlyMap<string, PipelineFeature>): void {
    const seconds = this.#config.windowMs / 1000
    const reported = this.#service.instances
      .map((instance) => pipelines.get(instance))
      .filter((row) => row !== undefined && row.up_ratio >= 0.5 && row.capacity_min > 0)
    if (reported.length > 0)
      this.#capacity = (reported.reduce((sum, row) => sum + row!.capacity_min, 0) / reported.length) * seconds
  }

  /** Largest expected load over the mean, under a layout. */
  imbalance(layout: Layout): number {
    this.#flow.route(this.expected, layout, this.#config.routing)
    const mean = this.meanLoad
    return mean > 0 ? this.#flow.loads.reduce((a, b) => Math.max(a, b), 0) / mean : 1
  }

  /** How many instances to ask for: more at once, fewer only once fewer have been wanted for a while. */
  scale(now: number): { wish: ScaleWish; instances: number; capacity: number } {
    const most = this.#recent.reduce((a, b) => Math.max(a, b), 0)
    const isPatient = this.#recent.length >= this.#config.patienceWindows
    const instances = this.#wish.instances > now ? this.#wish.instances : isPatient && most < now ? most : now
    return { wish: this.#wish, instances, capacity: this.#capacity }
  }

  /** Work beyond what `instances` can do at its 99 % quantile: what not acting would cost. */
  excess(instances: number, capacity: number): number {
    return Math.max(0, this.#wish.q99 - instances * capacity)
  }

  encode(out: ByteWriter): void {
    this.#policy.encode(out)
    this.#scale.encode(out)
    out.varint(this.#recent.length)
    for (const n of this.#recent) out.varint(n)
    for (const x of [this.#capacity, this.#timeMs, this.#level]) out.f64(x)
    out.varint(this.#steps)
    for (const step of this.#seen) out.varint(step + 1)
    for (const usable of this.#usable) out.varint(usable)
  }

  decode(from: ByteReader): void {
    this.#policy.decode(from)
    this.#scale.decode(from)
    this.#recent.splice(0, Infinity, ...Array.from({ length: from.varint() }, () => from.varint()))
    this.#capacity = from.f64()
    this.#timeMs = from.f64()
    this.#level = from.f64()
    this.#steps = from.varint()
    for (let i = 0; i < this.#seen.length; i++) this.#seen[i] = from.varint() - 1
    for (let i = 0; i < this.#usable.length; i++) this.#usable[i] = from.varint()
    this.before.copyFrom(this.#policy.layout)
  }
}
