import { drawOrigins, fitArRidge, jointScenarios } from '#core/forecasting'
import { mulberry32 } from '#core/ports'
import { MEAN, MIX, planScenarios, type Scenario, type ScenarioObjective } from './lp-scenario.ts'
import { maxUtilisation, shortestSplits, uniformSplits } from './network.ts'
import {
  blend,
  meanDemand,
  type PlanContext,
  peakDemand,
  quantileDemand,
  rowScenarios,
  spreadRows,
  worstRows,
} from './plans.ts'

/** A plan of the protocol: the splits for a row, from the rows before it (`clairvoyant` ones excepted). */
export interface NamedPlan {
  readonly name: string
  readonly splits: (row: number) => Float64Array
}

const constant = (name: string, splits: Float64Array): NamedPlan => ({ name, splits: () => splits })

/** Static plans and those that follow the last matrices by LP(d). */
function demandPlans(c: PlanContext): NamedPlan[] {
  const { demands, mlu, train } = c
  const plans = [
    constant('uniform', uniformSplits(c.network)),
    constant('shortest path', shortestSplits(c.network)),
    constant('static mean LP', mlu.plan(meanDemand(demands, 0, train))),
    constant('static p90 LP', mlu.plan(quantileDemand(demands, 0, train, 0.9))),
    constant('static p99 LP', mlu.plan(quantileDemand(demands, 0, train, 0.99))),
    constant('static max LP', mlu.plan(peakDemand(demands, 0, train))),
    { name: 'last + LP', splits: (i: number) => mlu.plan(demands[i - 1]!) },
    ewmaPlan(c),
    { name: 'mean of 12 + LP', splits: (i: number) => mlu.plan(meanDemand(demands, i - 12, i)) },
    { name: 'peak of 12 + LP', splits: (i: number) => mlu.plan(peakDemand(demands, i - 12, i)) },
    { name: 'p75 of 100 + LP', splits: (i: number) => mlu.plan(quantileDemand(demands, i - 100, i, 0.75)) },
    { name: 'p90 of 500 + LP', splits: (i: number) => mlu.plan(quantileDemand(demands, i - 500, i, 0.9)) },
  ]
  if (c.daily > 0) plans.push({ name: 'last day + LP', splits: (i) => mlu.plan(demands[i - c.daily]!) })
  return plans
}

function ewmaPlan({ demands, mlu, train }: PlanContext): NamedPlan {
  let state = demands[0]!.slice()
  let at = 0
  const advance = (row: number) => {
    for (; at < row; at++) state = state.map((e, k) => 0.5 * demands[at]![k]! + 0.5 * e)
    return state
  }
  advance(train)
  return { name: 'EWMA(0.5) + LP', splits: (i) => mlu.plan(advance(i)) }
}

/** Autoregression and LP(d) of one of its quantiles; the level is chosen on the training tail. */
function arPlans(c: PlanContext): NamedPlan[] {
  const { demands, mlu, train, daily } = c
  const tail = train - Math.max(300, Math.min(1500, Math.floor(train / 5)))
  const early = fitArRidge(demands, tail, { lag: 1, daily })
  const score = (tau: number) => {
    let sum = 0
    for (let i = tail; i < train; i += 3)
      sum += maxUtilisation(c.network, mlu.plan(early.quantile(i, tau)), demands[i]!) / c.optima[i]!
    return sum
  }
  const levels = [0.5, 0.75, 0.9, 0.97].map((tau) => ({ tau, score: score(tau) }))
  const { tau } = levels.reduce((best, l) => (l.score < best.score ? l : best))
  const model = fitArRidge(demands, train, { lag: 1, daily })
  return [
    { name: 'AR q50 + LP', splits: (i) => mlu.plan(model.quantile(i, 0.5)) },
    {
      name: `AR q${Math.round(100 * tau)} + LP (level from validation)`,
      splits: (i) => mlu.plan(model.quantile(i, tau)),
    },
  ]
}

const solve = (c: PlanContext, rows: readonly number[], objective: ScenarioObjective = MEAN) =>
  planScenarios(c.network, c.solver, rowScenarios(c.demands, c.optima, rows), objective).splits

/** Scenario plans row by row: each starts from the one before, which is usually close. */
function following(
  c: PlanContext,
  scenarios: (row: number) => readonly Scenario[],
  objective: ScenarioObjective = MEAN,
) {
  let splits = uniformSplits(c.network)
  return (row: number) =>
    (splits = planScenarios(c.network, c.solver, scenarios(row), objective, splits).splits)
}

/** Static scenario plans, their mixtures, and the one in hindsight. */
function scenarioPlans(c: PlanContext): NamedPlan[] {
  const { train, demands } = c
  const count = Math.min(c.network.paths > 100 ? 200 : 400, train - 12)
  const rows = spreadRows(12, train, count)
  const average = solve(c, rows)
  const mix = solve(c, rows, MIX)
  return [
    constant(`static scenario LP, mean (${count} training)`, average),
    constant('static scenario LP, .5 mean + .5 CVaR.95', mix),
    ...[0.25, 0.5, 0.75].map((w) =>
      constant(`static: ${w} mean plan + ${1 - w} CVaR plan`, blend(average, mix, w)),
    ),
    constant(
      '(hindsight) static scenario LP on the scored matrices',
      solve(c, spreadRows(train, demands.length, Math.min(count, demands.length - train))),
    ),
  ]
}

/** Scenario LP on the last 12 matrices, alone and with the 12 worst of the training period. */
function robustPlans(c: PlanContext): NamedPlan[] {
  const p90 = c.mlu.plan(quantileDemand(c.demands, 0, c.train, 0.9))
  const extremes = worstRows(c, p90, 12, c.train, 12)
  const past = (rows: readonly number[]) => rowScenarios(c.demands, c.optima, rows)
  const last = (i: number) => Array.from({ length: 12 }, (_, j) => i - 12 + j)
  return [
    { name: 'robust LP, mean over last 12', splits: following(c, (i) => past(last(i))) },
    {
      name: 'robust LP, mean over last 12 + 12 extremes',
      splits: following(c, (i) => past([...last(i), ...extremes])),
    },
  ]
}

/** How close the recent past of two rows is: squared distance of last, mean of 3 and mean of 12 (standardised logs). */
function historyFeatures({ demands, train }: PlanContext): Float64Array[] {
  const pairs = demands[0]!.length
  const columns = Array.from({ length: pairs }, (_, k) => {
    let level = 0
    for (let i = 0; i < train; i++) level += demands[i]![k]! / train
    const logs = Float64Array.from(demands, (d) => Math.log(Math.max(d[k]!, level * 1e-2, 1e-9)))
    let centre = 0
    for (let i = 0; i < train; i++) centre += logs[i]! / train
    let variance = 0
    for (let i = 0; i < train; i++) variance += (logs[i]! - centre) ** 2 / train
    return logs.map((v) => Math.max(-4, Math.min(4, (v - centre) / (Math.sqrt(variance) + 1e-9))))
  })
  const average = (column: Float64Array, i: number, n: number) => {
    let sum = 0
    for (let j = i - n; j < i; j++) sum += column[j]!
    return sum / n
  }
  return demands.map((_, i) =>
    i < 12
      ? new Float64Array(3 * pairs)
      : Float64Array.from([1, 3, 12].flatMap((n) => columns.map((column) => average(column, i, n)))),
  )
}

/** Rows before `row` whose recent past is nearest to `row`'s. */
function nearestRows(features: readonly Float64Array[], row: number, count: number): number[] {
  const distance = new Float64Array(row)
  const here = features[row]!
  for (let i = 12; i < row; i++) {
    const there = features[i]!
    let sum = 0
    for (let f = 0; f < here.length; f++) sum += (there[f]! - here[f]!) ** 2
    distance[i] = sum
  }
  const rows = Array.from({ length: row - 12 }, (_, j) => j + 12)
  return rows.sort((a, b) => distance[a]! - distance[b]! || a - b).slice(0, count)
}

/** Scenario LP on the targets of the 100 nearest histories; small networks without a clock only. */
function nearestPlans(c: PlanContext): NamedPlan[] {
  if (c.daily > 0 || c.network.paths >= 100) return []
  const features = historyFeatures(c)
  const plan = (i: number, objective: ScenarioObjective) => solve(c, nearestRows(features, i, 100), objective)
  return [
    { name: 'scenario LP on the 100 nearest histories, mean', splits: (i) => plan(i, MEAN) },
    { name: 'scenario LP on the 100 nearest histories, mix', splits: (i) => plan(i, MIX) },
  ]
}

/** Autoregression with joint scenarios, for data with a daily cycle. */
function jointPlans(c: PlanContext): NamedPlan[] {
  if (c.daily === 0) return []
  const model = fitArRidge(c.demands, c.train, { lag: 1, daily: c.daily })
  const pool = { from: Math.max(model.first, 320), to: c.train }
  const p90 = c.mlu.plan(quantileDemand(c.demands, 0, c.train, 0.9))
  const extremes = rowScenarios(c.demands, c.optima, worstRows(c, p90, 12, c.train, 12))
  const scenarios = (row: number, count: number) =>
    jointScenarios(model, row, drawOrigins(pool, count, mulberry32(5 + row))).map((demand) => ({
      demand,
      optimum: c.mlu.optimum(demand),
    }))
  const level90 = { tail: 0.5, level: 0.9 }
  return [
    { name: 'AR + 30 joint residual scenarios, LP on mean', splits: following(c, (i) => scenarios(i, 30)) },
    {
      name: 'AR + 30 joint residual scenarios, LP on mix',
      splits: following(c, (i) => scenarios(i, 30), level90),
    },
    {
      name: 'AR + 24 joint scenarios + 12 training extremes, LP on mean',
      splits: following(c, (i) => [...scenarios(i, 24), ...extremes]),
    },
  ]
}

/**
 * Every plan of part 1 of the protocol, under its name there. Lazily, in the order of the page: LP(d) is solved from
 * the last basis, and where two vertices differ by less than the solver's tolerance the order decides between them.
 */
export function* mluPlans(c: PlanContext): Generator<NamedPlan> {
  for (const group of [demandPlans, arPlans, scenarioPlans, robustPlans, nearestPlans, jointPlans])
    yield* group(c)
}
