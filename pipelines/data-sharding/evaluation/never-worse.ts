import type { Metrics } from '#core/evaluation'
import type { Routing } from '../placement/index.ts'
import { forecastTrace, simpleExpects } from './forecasts.ts'
import { boundedPlan, ourPlan, plannedPlan, staticPlan } from './plans.ts'
import type { Trace } from './trace.ts'

/** Routing and replicas per segment that plans are compared under. */
const KINDS: readonly { readonly routing: Routing; readonly replicas: number }[] = [
  { routing: 'live', replicas: 1.1 },
  { routing: 'live', replicas: 1.5 },
  { routing: 'equal', replicas: 1.5 },
]
/** Forecasts that need no model, each planned with and without spreading what copies are left. */
const SIMPLE = ['last step', 'same hour last week', 'EWMA 0.05']
/** A plan is as good as another within this much of its cost, and 0.2 % of an instance's mean load. */
export const AS_GOOD = { factor: 1.1, add: 0.002 }

/** Ours beside the best of the simple plans, which is known only in hindsight. */
export interface Comparison {
  readonly trace: string
  readonly routing: Routing
  readonly replicas: number
  readonly best: string
  /** Mean cost of a step, as the policy states it. */
  readonly bestCost: number
  readonly cost: number
  /** How far below the bar: negative where it is not met. */
  readonly slack: number
  readonly ours: Metrics
}

function rivals(trace: Trace, routing: Routing, replicas: number): [name: string, cost: number][] {
  const expects = simpleExpects(trace)
  const list: [string, Metrics][] =
    routing === 'live'
      ? [['static hot replicas', staticPlan(trace, replicas)]]
      : [
          ['static ring', staticPlan(trace, 'ring')],
          ['static rendezvous', staticPlan(trace, 'rendezvous')],
          ['bounded loads', boundedPlan(trace)],
        ]
  for (const name of SIMPLE)
    for (const isSpread of [false, true])
      list.push([
        isSpread ? `${name} + spread` : name,
        plannedPlan(trace, expects[name]!, routing, replicas, isSpread),
      ])
  return list.map(([name, metrics]) => [name, metrics['cost']!])
}

/** Ours against the best simple plan on one trace: at 1.1 and 1.5 replicas with a live router, and at equal split. */
export function compareWithSimple(trace: Trace): Comparison[] {
  const own = forecastTrace(trace)
  return KINDS.map(({ routing, replicas }) => {
    const [best, bestCost] = rivals(trace, routing, replicas).reduce((a, b) => (b[1] < a[1] ? b : a))
    const ours = ourPlan(trace, own, routing, replicas)
    const cost = ours['cost']!
    const slack = AS_GOOD.factor * bestCost + AS_GOOD.add - cost
    return { trace: trace.name, routing, replicas, best, bestCost, cost, slack, ours }
  })
}
