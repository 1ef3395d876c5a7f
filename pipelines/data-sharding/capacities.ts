import type { PipelineFeature } from '#schemas'
import type { ByteReader, ByteWriter } from '#core/math'
import type { DataConfig, DataService } from './config.ts'

/** An instance that was up for less than this share of a window's reports is down. */
const UP = 0.5
const UNKNOWN = -1

/** What the instances of a service report of themselves, and which of them segments may lie on. Part of the snapshot. */
export class Capacities {
  readonly #config: DataConfig
  readonly #service: DataService
  /** The last step in which each instance reported itself; -1: in none. */
  readonly #seen: Int32Array
  /** What each said last, in work per second: 0 where it is down, -1 where it did not say. */
  readonly #said: Float64Array
  /** Reports in a row in which each was down: a short absence moves nothing. */
  readonly #timesDown: Int32Array
  /** Which instances segments may lie on by what is decided: 1 or 0 each. */
  readonly #usable: Float64Array
  /** Work that an instance can do in a window: the mean of what those that are up report. */
  perWindow: number
  #steps = 0

  constructor(config: DataConfig, service: DataService) {
    const instances = service.instances.length
    this.#config = config
    this.#service = service
    this.#seen = new Int32Array(instances).fill(-1)
    this.#said = new Float64Array(instances).fill(UNKNOWN)
    this.#timesDown = new Int32Array(instances)
    this.#usable = new Float64Array(instances).fill(1)
    if (service.elastic === true) this.#usable.fill(0, service.minInstances)
    this.perWindow = service.capacity
  }

  /** Takes in what was reported in a window; `decided`: instances that stand decided. */
  step(pipelines: ReadonlyMap<string, PipelineFeature>, decided: number): void {
    this.#hear(pipelines)
    this.#measure(pipelines)
    const { instances, minInstances, elastic = false } = this.#service
    if (elastic)
      instances.forEach((_, i) => {
        this.#usable[i] = i < minInstances || (this.#isOfLate(i) && i < decided) ? 1 : 0
      })
    this.#steps++
  }

  #hear(pipelines: ReadonlyMap<string, PipelineFeature>): void {
    this.#service.instances.forEach((instance, i) => {
      const row = pipelines.get(instance)
      if (row !== undefined) {
        this.#seen[i] = this.#steps
        this.#timesDown[i] = row.up_ratio < UP ? this.#timesDown[i]! + 1 : 0
        if (this.#timesDown[i] === 0) this.#said[i] = row.capacity_min > 0 ? row.capacity_min : UNKNOWN
        else if (this.#isDownForLong(i)) this.#said[i] = 0
      }
      if (!this.#isOfLate(i)) this.#said[i] = UNKNOWN
    })
  }

  /** Whether an instance has reported itself within the patience: one window without is not yet silence. */
  #isOfLate(i: number): boolean {
    return this.#seen[i]! >= 0 && this.#steps - this.#seen[i]! <= this.#config.patienceWindows
  }

  #isDownForLong(i: number): boolean {
    const { downAfterMs, windowMs } = this.#config
    return this.#timesDown[i]! * windowMs >= downAfterMs
  }

  #measure(pipelines: ReadonlyMap<string, PipelineFeature>): void {
    const now = this.#said.filter((said, i) => said > 0 && pipelines.has(this.#service.instances[i]!))
    if (now.length > 0) this.perWindow = (mean(now) * this.#config.windowMs) / 1000
  }

  /**
   * Capacities in the order of the service's instances: what each reported, 0 for one that has been down for
   * `downAfterMs` or that segments are not to lie on, the mean for one that did not say. Where none would be left, all that are decided count as equal.
   */
  list(): Float64Array {
    const known = this.#said.filter((said) => said > 0)
    const usual = known.length > 0 ? mean(known) : 1
    const list = this.#said.map((said, i) => (this.#usable[i] === 0 ? 0 : said === UNKNOWN ? usual : said))
    return list.some((capacity) => capacity > 0) ? list : this.#usable.slice()
  }

  /** Appends the state. */
  encode(out: ByteWriter): void {
    out.varint(this.#steps)
    out.f64(this.perWindow)
    for (let i = 0; i < this.#seen.length; i++) {
      out.varint(this.#seen[i]! + 1)
      out.varint(this.#timesDown[i]!)
      out.f64(this.#said[i]!)
      out.varint(this.#usable[i]!)
    }
  }

  /** Reads a state of the same service. */
  decode(from: ByteReader): void {
    this.#steps = from.varint()
    this.perWindow = from.f64()
    for (let i = 0; i < this.#seen.length; i++) {
      this.#seen[i] = from.varint() - 1
      this.#timesDown[i] = from.varint()
      this.#said[i] = from.f64()
      this.#usable[i] = from.varint()
    }
  }
}

const mean = (values: Float64Array) => values.reduce((a, b) => a + b, 0) / values.length
