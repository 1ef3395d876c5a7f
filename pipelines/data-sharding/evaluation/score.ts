import { quantileType7 } from '#core/math'
import type { Metrics } from '#core/evaluation'
import { Flow, type Layout, type Routing, stepCost } from '../placement/index.ts'
import { totalsOf, type Trace, workAt } from './trace.ts'

const SLO = 10
const SERVICE_TIMES = 1000
const HEADROOM = 1.25
const QUIET = 0.25

/** Mean total over the scored steps, and the capacity of an instance. */
export function capacityOf(trace: Trace): { mean: number; capacity: number } {
  const totals = totalsOf(trace).subarray(trace.t0)
  const mean = totals.reduce((a, b) => a + b, 0) / totals.length
  const p99 = quantileType7(totals.slice().sort(), 0.99)
  return { mean, capacity: (HEADROOM * p99) / trace.instances }
}

/** Latency in service times of one step (M/D/1 wait plus fluid backlog), and the backlog it leaves. */
export function queueStep(
  load: number,
  capacity: number,
  backlog: number,
): { latency: number; after: number } {
  const after = Math.max(0, backlog + load - capacity)
  const rho = Math.min(load / capacity, 0.98)
  const latency = 1 + rho / (2 * (1 - rho)) + (SERVICE_TIMES * (backlog + after)) / 2 / capacity
  return { latency, after }
}

/** Collects work by latency. */
export class LatencySum {
  readonly #latencies: number[] = []
  readonly #works: number[] = []
  total = 0
  overSlo = 0

  add(latency: number, work: number): void {
    if (!(work > 0)) return
    this.#latencies.push(latency)
    this.#works.push(work)
    this.total += work
    if (latency > SLO) this.overSlo += work
  }

  /** Latency that `share` of the work does not exceed. */
  quantile(share: number): number {
    const order = this.#latencies.map((_, i) => i).sort((a, b) => this.#latencies[a]! - this.#latencies[b]!)
    let sum = 0
    for (const i of order) {
      sum += this.#works[i]!
      if (sum >= share * this.total) return this.#latencies[i]!
    }
    return 1
  }
}

/** Scores a plan step by step under the protocol's queue. */
export class Score {
  readonly #trace: Trace
  readonly #routing: Routing
  readonly #flow: Flow
  readonly #capacity: number
  readonly #mean: number
  readonly #backlog: Float64Array
  readonly #ratios: number[] = []
  readonly #latency = new LatencySum()
  #overloads = 0
  #over = 0
  #copies = 0
  #replicas = 0
  #steps = 0
  #cost = 0

  constructor(trace: Trace, routing: Routing) {
    this.#trace = trace
    this.#routing = routing
    this.#flow = new Flow(trace.segments, trace.instances)
    this.#backlog = new Float64Array(trace.instances)
    const { mean, capacity } = capacityOf(trace)
    this.#mean = mean
    this.#capacity = capacity
  }

  /** Serves step `t` by `layout`; `planned` is what comes next and `copies` what it took. */
  step(t: number, layout: Layout, planned: Layout, copies: number): void {
    const { loads } = this.#flow
    this.#flow.route(workAt(this.#trace, t), layout, this.#routing)
    this.#steps++
    this.#copies += copies
    this.#replicas += planned.total
    let total = 0
    let most = 0
    for (let i = 0; i < loads.length; i++) {
      const load = loads[i]!
      total += load
      if (load > most) most = load
      const { latency, after } = queueStep(load, this.#capacity, this.#backlog[i]!)
      this.#backlog[i] = after
      this.#over += Math.max(0, load - this.#capacity)
      this.#latency.add(latency, load)
    }
    const isQuiet = !(total > 0) || total < QUIET * this.#mean
    this.#cost += stepCost(isQuiet ? 1 : (most * loads.length) / total, copies)
    if (most > this.#capacity) this.#overloads++
    if (!isQuiet) this.#ratios.push((most * loads.length) / total)
  }

  metrics(): Metrics {
    const ratios = this.#ratios.slice().sort((a, b) => a - b)
    const steps = this.#steps
    const { total } = this.#latency
    return {
      maxMeanP50: quantileType7(ratios, 0.5),
      maxMeanP99: quantileType7(ratios, 0.99),
      steps115Percent: (100 * ratios.filter((r) => r <= 1.15).length) / ratios.length,
      overloadStepsPercent: (100 * this.#overloads) / steps,
      workOverPercent: (100 * this.#over) / total,
      workOverSloPercent: (100 * this.#latency.overSlo) / total,
      p99Latency: this.#latency.quantile(0.99),
      copiesPerStep: this.#copies / steps,
      copiesPercent: (100 * this.#copies) / steps / this.#trace.segments,
      cost: this.#cost / steps,
      replicasPerSegment: this.#replicas / steps / this.#trace.segments,
    }
  }
}
