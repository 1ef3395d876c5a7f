import type { LinearSolver, RemoteLinearSolver } from '#core/ports'
import { solveRounds, solveRoundsRemotely } from './lp-rounds.ts'
import type { Scenario } from './lp-scenario.ts'
import { type Network, shortestSplits } from './network.ts'
import { meanDemand } from './plans.ts'
import type { Goal } from './router-goal.ts'
import { greedySplits } from './router-greedy.ts'
import {
  backtestRatio,
  fixedPlan,
  type LearnContext,
  mixture,
  newestDemands,
  type RouterHistory,
  type RouterSettings,
  worstDemands,
} from './router-learn.ts'
import { createSelector, type Selector } from './router-select.ts'

/** Settings that won on training periods: they are the same for every network. */
export const ROUTER_SETTINGS: RouterSettings = {
  recent: { count: 6, weight: 0.3 },
  extremes: { count: 40, weight: 0.2 },
  fixed: { perBag: 1000, bags: 5, worst: 0 },
  backtestRows: 96,
  selector: { memory: 288, margin: 0.01, minimum: 96, certainty: 2 },
}

/** The candidates: a fixed plan for the whole past, and one made anew from joint scenarios. */
export type Candidate = 'static' | 'forecast'

/** A request for the plan of one interval. */
export interface RouteRequest {
  /** Number of the interval planned for; `observe` is told the same number. */
  readonly target: number
  /** Joint draws of the forecast (a demand per pair each); empty = nothing can be forecast. */
  readonly scenarios: readonly Float64Array[]
  /** The plan in force. */
  readonly standing: Float64Array
}

/** A plan, and what it and the standing plan cost in expectation (unit of the goal). */
export interface RoutePlan {
  readonly splits: Float64Array
  /** What it rests on; `greedy` and `standing` only when the solver was late. */
  readonly candidate: Candidate | 'greedy' | 'standing'
  readonly costNow: number
  readonly costAfter: number
}

/** Chooses multi-path splits interval by interval; sees only what it was told. */
export interface Router {
  /** Fits the static plan and picks the candidate that would have done best. Slow (seconds): on a schedule. */
  learn(past: RouterHistory): void
  /** A demand that came: scores what the candidates had planned for it, and becomes the recent past. */
  observe(target: number, demand: Float64Array): void
  /** The plan for an interval. With `deadlineMs`, a late solver gives the better of greedy and standing plan. */
  plan(request: RouteRequest, deadlineMs?: number): RoutePlan
  /** As `plan`, the forecast candidate solved on another thread. */
  planRemotely(solver: RemoteLinearSolver, request: RouteRequest, deadlineMs: number): Promise<RoutePlan>
  /** The candidate in charge and the recent mean loss of each. */
  status(): { readonly leader: Candidate; readonly losses: Readonly<Record<Candidate, number>> }
}

/** What the router knows at a moment. */
interface Knowledge {
  fixed: Float64Array
  extremes: readonly Float64Array[]
  recent: readonly Float64Array[]
  selector: Selector
  /** False while the forecast candidate is out of reach: it is then not even solved. */
  isContested: boolean
}

function learn(c: LearnContext, past: RouterHistory): Knowledge {
  const { history } = past
  const { margin } = c.settings.selector
  const ratio = backtestRatio(c, past)
  const fixed = fixedPlan(c, history, history.length)
  return {
    fixed,
    extremes: worstDemands(c, fixed, history, history.length, c.settings.extremes.count),
    recent: newestDemands(c, history, history.length),
    selector: createSelector(
      ratio !== undefined && ratio < 1 - margin ? 'forecast' : 'static',
      c.settings.selector,
    ),
    isContested: ratio === undefined || ratio < 1 + margin,
  }
}

/** A plan with what it and the standing one cost over the scenarios (0 where there are none). */
function assess(
  goal: Goal,
  splits: Float64Array,
  candidate: RoutePlan['candidate'],
  standing: Float64Array,
  scenarios: readonly Scenario[],
): RoutePlan {
  const cost = (plan: Float64Array) => (scenarios.length === 0 ? 0 : goal.expected(plan, scenarios))
  return { splits, candidate, costNow: cost(standing), costAfter: cost(splits) }
}

/** What to do when the solver is late: the greedy plan for the mean demand, if it is better than standing still. */
function fallback(
  network: Network,
  goal: Goal,
  standing: Float64Array,
  scenarios: readonly Scenario[],
): RoutePlan {
  const demands = scenarios.map((s) => s.demand)
  const greedy = greedySplits(network, meanDemand(demands, 0, demands.length))
  const plan = assess(goal, greedy, 'greedy', standing, scenarios)
  return plan.costAfter < plan.costNow ? plan : assess(goal, standing, 'standing', standing, scenarios)
}

/** See {@link Router}. */
export function createRouter(
  network: Network,
  goal: Goal,
  solver: LinearSolver,
  settings: RouterSettings = ROUTER_SETTINGS,
): Router {
  const context: LearnContext = { network, goal, solver, settings }
  let known: Knowledge = {
    fixed: shortestSplits(network),
    extremes: [],
    recent: [],
    selector: createSelector('static', settings.selector),
    isContested: true,
  }
  const proposals = new Map<number, Map<Candidate, Float64Array>>()

  const isAsked = (request: RouteRequest) => request.scenarios.length > 0 && known.isContested
  /** Draws are used, and paid for, only where the forecast candidate competes. */
  const scenariosFor = (request: RouteRequest) => {
    const { recent, extremes } = known
    return mixture(
      context,
      isAsked(request) || recent.length === 0 ? request.scenarios : recent,
      recent,
      extremes,
    )
  }
  /** Notes the proposals and picks the leader's; asked for a forecast plan and without one = the solver was late. */
  const finish = (
    request: RouteRequest,
    scenarios: readonly Scenario[],
    forecast?: Float64Array,
  ): RoutePlan => {
    const { standing, target } = request
    const made = new Map<Candidate, Float64Array>([['static', known.fixed]])
    if (forecast !== undefined) made.set('forecast', forecast)
    proposals.set(target, made)
    if (known.selector.leader() === 'static' || !isAsked(request))
      return assess(goal, known.fixed, 'static', standing, scenarios)
    if (forecast === undefined) return fallback(network, goal, standing, scenarios)
    return assess(goal, forecast, 'forecast', standing, scenarios)
  }
  return {
    learn: (past) => {
      known = learn(context, past)
    },
    observe: (target, demand) => {
      const losses = new Map<string, number>()
      for (const [candidate, splits] of proposals.get(target) ?? [])
        losses.set(candidate, goal.loss(splits, demand))
      if (losses.size > 0) known.selector.note(losses)
      for (const key of proposals.keys()) if (key <= target) proposals.delete(key)
      known.recent = [...known.recent, demand].slice(-settings.recent.count)
    },
    plan: (request, deadlineMs = Infinity) => {
      const scenarios = scenariosFor(request)
      if (!isAsked(request)) return finish(request, scenarios)
      const plan = solveRounds(solver, goal.problem(scenarios, request.standing), deadlineMs)
      return finish(request, scenarios, plan?.splits)
    },
    planRemotely: async (remote, request, deadlineMs) => {
      const scenarios = scenariosFor(request)
      if (!isAsked(request)) return finish(request, scenarios)
      const plan = await solveRoundsRemotely(remote, goal.problem(scenarios, request.standing), deadlineMs)
      return finish(request, scenarios, plan?.splits)
    },
    status: () => ({
      leader: known.selector.leader() as Candidate,
      losses: { static: known.selector.loss('static'), forecast: known.selector.loss('forecast') },
    }),
  }
}
