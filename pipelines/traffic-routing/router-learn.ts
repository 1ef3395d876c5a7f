import { ForestallError, type LinearSolver } from '#core/ports'
import { solveRounds } from './lp-rounds.ts'
import type { Scenario } from './lp-scenario.ts'
import { type Network, shortestSplits } from './network.ts'
import { spreadRows } from './plans.ts'
import type { Goal } from './router-goal.ts'
import { createSelector, type SelectorSettings } from './router-select.ts'

/** What a router mixes into its scenarios, and how it chooses between its plans. */
export interface RouterSettings {
  /** Newest demands added to the drawn scenarios, and their share of the weight. */
  readonly recent: { readonly count: number; readonly weight: number }
  /** Worst demands of the past added, and their share of the weight. */
  readonly extremes: { readonly count: number; readonly weight: number }
  /** The static plan: past demands per bag, bags (plans of disjoint demands, averaged), and worst demands added. */
  readonly fixed: { readonly perBag: number; readonly bags: number; readonly worst: number }
  /** Past intervals on which the candidates are compared when the router learns. */
  readonly backtestRows: number
  readonly selector: SelectorSettings
}

/** What a router learns from. Row i of `history` is interval i. */
export interface RouterHistory {
  readonly history: readonly Float64Array[]
  /** Joint draws for a past row, made without that row; rows from `backtestFrom` on are asked for. */
  readonly backtest?: (row: number) => readonly Float64Array[]
  /** First row the candidates are compared on; what they are made from lies before it. */
  readonly backtestFrom?: number
  /** Intervals between the last demand known and the one planned for (1 = the next). */
  readonly lag: number
}

/** What the parts of the learning share. */
export interface LearnContext {
  readonly network: Network
  readonly goal: Goal
  readonly solver: LinearSolver
  readonly settings: RouterSettings
}

type Demands = readonly Float64Array[]

/** Fewest demands in a bag; the plan of fewer is too tied to them. */
const SMALLEST_BAG = 200
/** First rows left out: a series often begins with a start-up. */
const WARM_UP = 12

/** The plan for scenarios. Throws SOLVER_FAILED if there is none. */
export function solveFor(
  c: LearnContext,
  scenarios: readonly Scenario[],
  standing: Float64Array,
): Float64Array {
  const plan = solveRounds(c.solver, c.goal.problem(scenarios, standing))
  if (plan === undefined) throw new ForestallError('SOLVER_FAILED', `plan for ${scenarios.length} scenarios`)
  return plan.splits
}

/** The demands among the first `to` on which a plan loses most, worst first. */
export function worstDemands(
  c: LearnContext,
  splits: Float64Array,
  history: Demands,
  to: number,
  count: number,
): Float64Array[] {
  if (count === 0) return []
  const losses = history.slice(0, to).map((demand) => c.goal.loss(splits, demand))
  const order = losses.map((_, i) => i).sort((a, b) => losses[b]! - losses[a]! || a - b)
  return order.slice(0, count).map((i) => history[i]!)
}

/** Plans of disjoint past demands, averaged: less tied to the demands that happened to be in. */
function baggedPlan(c: LearnContext, history: Demands, to: number, added: Demands): Float64Array {
  const { perBag, bags } = c.settings.fixed
  const first = Math.min(WARM_UP, to - 1)
  const rows = spreadRows(first, to, Math.min(perBag * bags, to - first))
  const used = Math.max(1, Math.min(bags, Math.floor(rows.length / SMALLEST_BAG)))
  const sum = new Float64Array(c.network.paths)
  for (let b = 0; b < used; b++) {
    const demands = [...rows.filter((_, j) => j % used === b).map((i) => history[i]!), ...added]
    const scenarios = demands.map((demand) => c.goal.scenario(demand, 1))
    const plan = solveFor(c, scenarios, shortestSplits(c.network))
    for (let p = 0; p < sum.length; p++) sum[p] = sum[p]! + plan[p]! / used
  }
  return sum
}

/** The static plan for the first `to` demands. */
export function fixedPlan(c: LearnContext, history: Demands, to: number): Float64Array {
  const plain = baggedPlan(c, history, to, [])
  const { worst } = c.settings.fixed
  return worst === 0 ? plain : baggedPlan(c, history, to, worstDemands(c, plain, history, to, worst))
}

/** Drawn scenarios, the newest demands and the worst of the past, weighted. */
export function mixture(c: LearnContext, drawn: Demands, newest: Demands, worst: Demands): Scenario[] {
  const recent = newest.length > 0 ? c.settings.recent.weight : 0
  const extremes = worst.length > 0 ? c.settings.extremes.weight : 0
  const groups: readonly (readonly [Demands, number])[] = [
    [drawn, 1 - recent - extremes],
    [newest, recent],
    [worst, extremes],
  ]
  return groups.flatMap(([demands, weight]) =>
    demands.map((demand) => c.goal.scenario(demand, weight / demands.length)),
  )
}

/** The newest demands of the first `known`. */
export const newestDemands = (c: LearnContext, history: Demands, known: number): Demands =>
  history.slice(Math.max(0, known - c.settings.recent.count), known)

/**
 * Loss of the forecast candidate / loss of the static one, on rows of the past that neither has seen. Undefined without
 * a backtest.
 */
export function backtestRatio(
  c: LearnContext,
  { history, backtest, backtestFrom, lag }: RouterHistory,
): number | undefined {
  if (backtest === undefined || backtestFrom === undefined) return undefined
  const plan = fixedPlan(c, history, backtestFrom)
  const worst = worstDemands(c, plan, history, backtestFrom, c.settings.extremes.count)
  const trial = createSelector('static', { memory: Infinity, margin: Infinity, minimum: 1, certainty: 0 })
  const count = Math.min(c.settings.backtestRows, history.length - backtestFrom)
  for (const row of spreadRows(backtestFrom, history.length, count)) {
    const demand = history[row]!
    const scenarios = mixture(c, backtest(row), newestDemands(c, history, row - lag + 1), worst)
    const forecast = solveFor(c, scenarios, plan)
    trial.note(
      new Map([
        ['static', c.goal.loss(plan, demand)],
        ['forecast', c.goal.loss(forecast, demand)],
      ]),
    )
  }
  return trial.loss('forecast') / trial.loss('static')
}
