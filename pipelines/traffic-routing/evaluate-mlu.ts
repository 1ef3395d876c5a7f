import {
  blocksWorse,
  type Column,
  mean,
  type Metrics,
  nearestRank,
  type ReportTable,
  sorted,
} from '#core/evaluation'
import type { LinearSolver } from '#core/ports'
import type { TrafficCase } from './evaluate-data.ts'
import { mluPlans, type NamedPlan } from './evaluate-mlu-plans.ts'
import { createMluProgram } from './lp-mlu.ts'
import { maxUtilisation } from './network.ts'
import type { PlanContext } from './plans.ts'

/** Matrices per block. */
const BLOCK = 200

const COLUMNS: readonly Column[] = [
  { key: 'mean', heading: 'mean', decimals: 4 },
  { key: 'p50', heading: 'p50', decimals: 4 },
  { key: 'p99', heading: 'p99', decimals: 3 },
  { key: 'max', heading: 'max', decimals: 3 },
  { key: 'above15Percent', heading: '> 1.5 %', decimals: 2 },
  { key: 'above2Percent', heading: '> 2 %', decimals: 2 },
  { key: 'blocksWorse', heading: 'blocks worse', decimals: 0 },
]

/** Optimum of every row, and the context of the plans. */
export function mluContext(data: TrafficCase, solver: LinearSolver): PlanContext {
  const mlu = createMluProgram(data.network, solver)
  const optima = Float64Array.from(data.demands, (demand) => mlu.optimum(demand))
  return {
    network: data.network,
    solver,
    mlu,
    demands: data.demands,
    optima,
    train: data.train,
    daily: data.daily,
  }
}

/** Normalised maximum utilisation of a plan on every scored row (one in `step`). */
export function scoreRatios(c: PlanContext, plan: NamedPlan, step = 1): Float64Array {
  const ratios: number[] = []
  for (let i = c.train; i < c.demands.length; i += step)
    ratios.push(maxUtilisation(c.network, plan.splits(i), c.demands[i]!) / c.optima[i]!)
  return Float64Array.from(ratios)
}

/** The columns of the page; `bar` = ratios of the static p90 LP. */
export function mluMetrics(ratios: Float64Array, bar: Float64Array): Metrics {
  const order = sorted(ratios)
  const half = order.length / 2
  const share = (level: number) => (100 * ratios.filter((r) => r > level).length) / ratios.length
  return {
    mean: mean(ratios),
    p50: (order[Math.ceil(half) - 1]! + order[Math.floor(half)]!) / 2,
    p99: nearestRank(order, 0.99),
    max: order.at(-1)!,
    above15Percent: share(1.5),
    above2Percent: share(2),
    blocksWorse: blocksWorse(ratios, bar, BLOCK),
  }
}

/** Part 1 for one data set: every plan of the page and ours. */
export interface MluResult {
  readonly table: ReportTable
  /** Ratios per plan on the scored rows. */
  readonly ratios: ReadonlyMap<string, Float64Array>
  readonly optima: Float64Array
}

/** Scores the plans of part 1 and `extra` ones; `step` > 1 scores one row in that many. */
export function evaluateMlu(
  data: TrafficCase,
  c: PlanContext,
  extra: Iterable<NamedPlan>,
  step: number,
  log: (line: string) => void,
): MluResult {
  const ratios = new Map<string, Float64Array>()
  for (const plans of [mluPlans(c), extra]) {
    for (const plan of plans) {
      const began = performance.now()
      const scored = scoreRatios(c, plan, step)
      ratios.set(plan.name, scored)
      const seconds = ((performance.now() - began) / 1000).toFixed(1)
      log(`${data.name}: ${plan.name}: mean ${mean(scored).toFixed(4)} (${seconds} s)`)
    }
  }
  const bar = ratios.get('static p90 LP')!
  const rows = [...ratios].map(([plan, values]) => ({ plan, metrics: mluMetrics(values, bar) }))
  return {
    table: { title: `${data.name}: normalised maximum link utilisation`, columns: COLUMNS, rows },
    ratios,
    optima: c.optima,
  }
}
