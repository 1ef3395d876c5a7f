import { nearestRank, type ReportTable, sorted } from '#core/evaluation'
import { type LinearSolver, mulberry32 } from '#core/ports'
import { drawOrigins, fitArRidge, jointScenarios } from '#core/forecasting'
import type { TrafficCase } from './evaluate-data.ts'
import { createOverloadScore, OVERLOAD_COLUMNS } from './evaluate-overload-score.ts'
import { COST_WEIGHTS, createCostProgram } from './lp-cost.ts'
import { planExpectedCost } from './lp-expected-cost.ts'
import { createMluProgram } from './lp-mlu.ts'
import { maxUtilisation, type Network, shortestSplits, uniformSplits, utilisation } from './network.ts'
import { peakDemand, quantileDemand, spreadRows } from './plans.ts'

/** Part 2: demand scaled so that the network is tight; interval i runs under a plan made from rows <= i - 2. */
export interface OverloadCase {
  /** `weekday`, `weekend`, `stress`, … */
  readonly name: string
  readonly network: Network
  /** Demands x phi. */
  readonly demands: readonly Float64Array[]
  readonly train: number
  readonly daily: number
  readonly phi: number
}

/** What a plan of part 2 is called with: the row to run in and the splits in force. */
export interface OverloadPlan {
  readonly name: string
  /** Opening plan, in force before the first scored row. */
  readonly opening: () => Float64Array
  readonly next: (row: number, standing: Float64Array) => Float64Array
}

/** Rows between the last one known and the one planned for. */
const LAG = 2

/** Scales a case so that the nearest-rank p99 of the shortest-path utilisation over the scored rows is `level`. */
export function overloadCase(
  name: string,
  data: TrafficCase,
  rows: number,
  train: number,
  level: number,
): OverloadCase {
  const shortest = shortestSplits(data.network)
  const demands = data.demands.slice(0, rows)
  const peaks = demands.slice(train).map((d) => maxUtilisation(data.network, shortest, d))
  // The page's stress factor is the weekend's times 1.5 / 1.3, in this order of operations.
  const phi = (1.3 / nearestRank(sorted(peaks), 0.99)) * (level / 1.3)
  return {
    name,
    network: data.network,
    demands: demands.map((d) => d.map((v) => v * phi)),
    train,
    daily: data.daily,
    phi,
  }
}

/** The plans of part 2, in the order of the page. */
export function* overloadPlans(c: OverloadCase, solver: LinearSolver): Generator<OverloadPlan> {
  const { network, demands, train, daily } = c
  const mlu = createMluProgram(network, solver)
  const cost = createCostProgram(network, solver)
  const constant = (name: string, splits: Float64Array): OverloadPlan => ({
    name,
    opening: () => splits,
    next: () => splits,
  })
  const follow = (name: string, plan: (row: number) => Float64Array): OverloadPlan => ({
    name,
    opening: () => shortestSplits(network),
    next: plan,
  })
  const p90 = quantileDemand(demands, 0, train, 0.9)
  yield constant('shortest path, static', shortestSplits(network))
  yield constant('uniform over candidates', uniformSplits(network))
  yield constant('static p90, MLU LP', mlu.plan(p90))
  yield constant('static p90, cost LP', cost.plan(p90))
  yield constant('static p99, cost LP', cost.plan(quantileDemand(demands, 0, train, 0.99)))
  yield follow('reactive (i-2), MLU LP', (i) => mlu.plan(demands[i - LAG]!))
  yield follow('reactive (i-2), cost LP', (i) => cost.plan(demands[i - LAG]!))
  yield follow('peak of 12 (to i-2), MLU LP', (i) => mlu.plan(peakDemand(demands, i - 13, i - 1)))
  yield follow('peak of 12 (to i-2), cost LP', (i) => cost.plan(peakDemand(demands, i - 13, i - 1)))
  yield follow('last day, MLU LP', (i) => mlu.plan(demands[i - daily]!))
  yield follow('last day, cost LP', (i) => cost.plan(demands[i - daily]!))
  const week = 7 * daily
  if (train >= week) {
    yield follow('last week, MLU LP', (i) => mlu.plan(demands[i - week]!))
    yield follow('last week, cost LP', (i) => cost.plan(demands[i - week]!))
  }
  yield* arOverloadPlans(c, solver)
  yield follow('clairvoyant, MLU LP', (i) => mlu.plan(demands[i]!))
  yield follow('clairvoyant, cost LP', (i) => cost.plan(demands[i]!))
  const priced = createCostProgram(network, solver, 50)
  yield {
    name: 'clairvoyant, cost LP, churn price 50',
    opening: () => cost.plan(demands[train]!),
    next: (i, standing) => priced.plan(demands[i]!, standing),
  }
  yield constant(
    '(hindsight) static on scored maxima, cost LP',
    cost.plan(peakDemand(demands, train, demands.length)),
  )
  yield* expectedCostPlans(c, solver)
}

/** Autoregressive quantiles into the cost LP: without, with a churn price, and only when a link would run hot. */
function* arOverloadPlans(c: OverloadCase, solver: LinearSolver): Generator<OverloadPlan> {
  const { network, demands, train, daily } = c
  const model = fitArRidge(demands, train, { lag: LAG, daily })
  const cost = createCostProgram(network, solver)
  const opening = () => cost.plan(quantileDemand(demands, 0, train, 0.9))
  for (const tau of [0.5, 0.9, 0.97])
    yield { name: `AR q${100 * tau}, cost LP`, opening, next: (i) => cost.plan(model.quantile(i, tau)) }
  for (const [tau, price] of [
    [0.5, 10],
    [0.9, 10],
    [0.9, 50],
    [0.97, 10],
    [0.97, 50],
  ] as const) {
    const priced = createCostProgram(network, solver, price)
    yield {
      name: `AR q${100 * tau}, cost LP, churn price ${price}`,
      opening,
      next: (i, standing) => priced.plan(model.quantile(i, tau), standing),
    }
  }
  const priced = createCostProgram(network, solver, 10)
  yield {
    name: 'hysteresis: re-plan only if a link > 0.85 on q97, churn price 10',
    opening,
    next: (i, standing) => {
      const demand = model.quantile(i, 0.97)
      return maxUtilisation(network, standing, demand) > 0.85 ? priced.plan(demand, standing) : standing
    },
  }
}

/** Rows of the training period, those with the highest link utilisation under `splits` first. */
function hottestRows(c: OverloadCase, splits: Float64Array, count: number): number[] {
  const u = new Float64Array(c.network.links)
  const peak = c.demands
    .slice(0, c.train)
    .map((d) => utilisation(c.network, splits, d, u).reduce((a, b) => Math.max(a, b), 0))
  return peak
    .map((_, i) => i)
    .sort((a, b) => peak[b]! - peak[a]! || a - b)
    .slice(0, count)
}

/** Expected cost over training matrices (static) and over joint scenarios of the autoregression. */
function* expectedCostPlans(c: OverloadCase, solver: LinearSolver): Generator<OverloadPlan> {
  const { network, demands, train, daily } = c
  const cost = createCostProgram(network, solver)
  const base = cost.plan(quantileDemand(demands, 0, train, 0.9))
  const scenarios = (rows: readonly number[]) => rows.map((i) => ({ demand: demands[i]! }))
  const spread = scenarios(spreadRows(12, train, 60))
  const hottest = hottestRows(c, base, 10)
  const plain = planExpectedCost(network, solver, spread, base).splits
  const guarded = planExpectedCost(network, solver, [...spread, ...scenarios(hottest)], base).splits
  yield { name: 'static, expected cost over 60 training matrices', opening: () => plain, next: () => plain }
  yield {
    name: 'static, expected cost over 60 training + 10 worst',
    opening: () => guarded,
    next: () => guarded,
  }
  const model = fitArRidge(demands, train, { lag: LAG, daily })
  const pool = { from: Math.max(model.first, 320), to: train }
  for (const worst of [0, 4]) {
    const random = mulberry32(5)
    yield {
      name: `AR + 12 joint scenarios${worst > 0 ? ` + ${worst} worst of training` : ''}, expected cost, churn price 30`,
      opening: () => guarded,
      next: (i, standing) => {
        const drawn = jointScenarios(model, i, drawOrigins(pool, 12, random)).map((demand) => ({ demand }))
        const all = [...drawn, ...scenarios(hottest.slice(0, worst))]
        return planExpectedCost(network, solver, all, standing, { churnPrice: 30, weights: COST_WEIGHTS })
          .splits
      },
    }
  }
}

/** Scores every plan of part 2 and `extra` ones on one row in `step`. */
export function evaluateOverload(
  c: OverloadCase,
  solver: LinearSolver,
  extra: readonly (() => OverloadPlan)[],
  step: number,
  log: (line: string) => void,
): ReportTable {
  const rows = []
  const ours = (function* () {
    for (const make of extra) yield make()
  })()
  for (const plans of [overloadPlans(c, solver), ours]) {
    for (const plan of plans) {
      const began = performance.now()
      const score = createOverloadScore(c.network)
      let standing = plan.opening()
      for (let i = c.train; i < c.demands.length; i += step) {
        standing = plan.next(i, standing)
        score.add(standing, c.demands[i]!)
      }
      const metrics = score.metrics()
      rows.push({ plan: plan.name, metrics })
      log(
        `${c.name}: ${plan.name}: ${metrics['linkOverloadMin']} min (${((performance.now() - began) / 1000).toFixed(1)} s)`,
      )
    }
  }
  return { title: `${c.name}: overload, phi = ${c.phi.toFixed(6)}`, columns: OVERLOAD_COLUMNS, rows }
}
