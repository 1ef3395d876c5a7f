import { mulberry32, type LinearSolver } from '#core/ports'
import { type ArRidge, drawOrigins, fitArRidge, jointScenarios } from '#core/forecasting'
import type { NamedPlan } from './evaluate-mlu-plans.ts'
import type { OverloadCase, OverloadPlan } from './evaluate-overload.ts'
import type { ScenarioObjective } from './lp-scenario.ts'
import { shortestSplits } from './network.ts'
import type { PlanContext } from './plans.ts'
import { createRouter, ROUTER_SETTINGS } from './router.ts'
import { costGoal, utilisationGoal } from './router-goal.ts'
import type { RouterSettings } from './router-learn.ts'

/** Scenarios drawn per interval. */
const DRAWS = 40
/** Cost of moving all traffic once, ms. */
const CHURN_PRICE = 30

/** Rows at the end of the training period on which the candidates are compared. */
const backtestRows = (train: number) => Math.max(100, Math.min(1500, Math.floor(train / 5)))

/** Draws joint scenarios for a row, the same ones whenever it is asked. */
function drawer(model: ArRidge, train: number) {
  const pool = { from: Math.max(model.first, Math.min(320, Math.floor(train / 2))), to: train }
  return (row: number) => jointScenarios(model, row, drawOrigins(pool, DRAWS, mulberry32(5 + row)))
}

/** The router on part 1: told each demand after it came, one interval ahead. */
export function ourMluPlan(c: PlanContext, name: string, objective: ScenarioObjective): NamedPlan {
  const { network, solver, demands, train, daily } = c
  const router = createRouter(network, utilisationGoal(network, solver, objective), solver, ROUTER_SETTINGS)
  const from = train - backtestRows(train)
  const backtest = drawer(fitArRidge(demands.slice(0, train), from, { lag: 1, daily }), from)
  router.learn({ history: demands.slice(0, train), backtest, backtestFrom: from, lag: 1 })
  const draw = drawer(fitArRidge(demands, train, { lag: 1, daily }), train)
  let told = train
  let standing = shortestSplits(network)
  return {
    name,
    splits: (row) => {
      for (; told < row; told++) router.observe(told, demands[told]!)
      standing = router.plan({ target: row, scenarios: draw(row), standing }).splits
      return standing
    },
  }
}

/** The router on part 2: cost goal, plans two intervals ahead. */
export function ourOverloadPlan(c: OverloadCase, solver: LinearSolver, name = 'ours'): OverloadPlan {
  const { network, demands, train, daily } = c
  const settings: RouterSettings = {
    ...ROUTER_SETTINGS,
    recent: { count: 12, weight: 0.4 },
    extremes: { count: 0, weight: 0 },
    fixed: { perBag: 60, bags: 1, worst: 10 },
  }
  const router = createRouter(network, costGoal(network, CHURN_PRICE), solver, settings)
  const from = train - backtestRows(train)
  const history = demands.slice(0, train)
  const backtest = drawer(fitArRidge(history, from, { lag: 2, daily }), from)
  router.learn({ history: history.slice(0, -1), backtest, backtestFrom: from, lag: 2 })
  const draw = drawer(fitArRidge(demands, train - 1, { lag: 2, daily }), train - 1)
  let told = train - 1
  return {
    name,
    opening: () =>
      router.plan({ target: train - 1, scenarios: [], standing: shortestSplits(network) }).splits,
    next: (row, standing) => {
      for (; told < row - 1; told++) router.observe(told, demands[told]!)
      return router.plan({ target: row, scenarios: draw(row), standing }).splits
    },
  }
}
