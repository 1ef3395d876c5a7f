import type { Metrics } from '#core/evaluation'
import {
  createPlanner,
  hashRing,
  hotReplicas,
  Layout,
  rendezvousLayout,
  ringLayout,
  ringStart,
  type Routing,
  Spreader,
} from '../placement/index.ts'
import { ShardPolicy } from '../policy.ts'
import type { Forecasts } from './forecasts.ts'
import { Score } from './score.ts'
import { type Trace, workAt } from './trace.ts'

/** Copies that may be started in a step. */
export const COPIES = 5
const BOUND = 1.25

/** Expected work of step t + 1, from what was known before t. */
export type Expect = (t: number) => Float64Array

/** Name and figures of a plan. */
export interface PlanRow {
  readonly plan: string
  readonly metrics: Metrics
}

const capOf = (trace: Trace, replicas: number) => Math.round(replicas * trace.segments)

function fixed(trace: Trace, layout: Layout, routing: Routing): Metrics {
  const score = new Score(trace, routing)
  for (let t = trace.t0; t < trace.steps; t++) score.step(t, layout, layout, 0)
  return score.metrics()
}

/** Static plans: ring, rendezvous, and rendezvous with hot replicas set once. */
export function staticPlan(trace: Trace, kind: 'ring' | 'rendezvous' | number): Metrics {
  const { segments, instances } = trace
  if (kind === 'ring') return fixed(trace, ringLayout(segments, instances), 'equal')
  if (kind === 'rendezvous') return fixed(trace, rendezvousLayout(segments, instances), 'equal')
  const before = new Float64Array(segments)
  for (let t = trace.start; t < trace.t0; t++) workAt(trace, t).forEach((y, s) => (before[s]! += y))
  return fixed(trace, hotReplicas(before, instances, capOf(trace, kind)), 'live')
}

/** The protocol's planner on a forecast, with or without spreading what copies are left. */
export function plannedPlan(
  trace: Trace,
  expect: Expect,
  routing: Routing,
  replicas: number,
  isSpread: boolean,
): Metrics {
  const { segments, instances } = trace
  const planner = createPlanner(segments, instances, routing)
  const spreader = new Spreader(segments, instances, routing)
  const limits = { copies: COPIES, cap: capOf(trace, replicas) }
  const score = new Score(trace, routing)
  const next = rendezvousLayout(segments, instances)
  const now = next.clone()
  for (let t = trace.start; t < trace.steps; t++) {
    const work = expect(t)
    let copies = planner.plan(work, next, limits)
    if (isSpread) copies += spreader.spread(work, next, { ...limits, copies: COPIES - copies })
    if (t >= trace.t0) score.step(t, now, next, copies)
    now.copyFrom(next)
  }
  return score.metrics()
}

/** Bounded loads: segments walk the ring to the first instance with room for the last step's load; churn unlimited. */
export function boundedPlan(trace: Trace): Metrics {
  const { segments, instances } = trace
  const ring = hashRing(instances)
  const starts = Array.from({ length: segments }, (_, s) => ringStart(ring, s))
  const score = new Score(trace, 'equal')
  let now = ringLayout(segments, instances, ring)
  let planned = now
  for (let t = trace.start; t < trace.steps; t++) {
    const work = workAt(trace, t - 1)
    const limit = (BOUND * work.reduce((a, b) => a + b, 0)) / instances
    const loads = new Float64Array(instances)
    const next = new Layout(segments, instances)
    for (let s = 0; s < segments; s++) {
      let to = -1
      for (let k = 0; k < ring.points.length && to < 0; k++) {
        const i = ring.owners[(starts[s]! + k) % ring.points.length]!
        if (loads[i]! + work[s]! <= limit) to = i
      }
      if (to < 0) to = loads.indexOf(loads.reduce((a, b) => Math.min(a, b), Infinity))
      loads[to]! += work[s]!
      next.add(s, to)
    }
    let copies = 0
    for (let at = 0; at < next.has.length; at++) if (next.has[at] === 1 && planned.has[at] === 0) copies++
    if (t >= trace.t0) score.step(t, now, next, copies)
    planned = next
    now = next
  }
  return score.metrics()
}

/** Our policy, the same code that runs live. */
export function ourPlan(trace: Trace, forecasts: Forecasts, routing: Routing, replicas: number): Metrics {
  const { segments, instances, day } = trace
  const limits = { copies: COPIES, cap: capOf(trace, replicas) }
  const policy = new ShardPolicy({ segments, instances, routing, limits, day })
  const score = new Score(trace, routing)
  const now = policy.layout.clone()
  for (let t = trace.start; t < trace.steps; t++) {
    const { mean, deviation } = forecasts.at(t)
    const result = policy.step({ last: workAt(trace, t - 1), mean, deviation })
    if (t >= trace.t0) score.step(t, now, result.layout, result.copies)
    now.copyFrom(result.layout)
  }
  return score.metrics()
}
