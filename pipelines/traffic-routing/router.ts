import type { LinearSolver, RemoteLinearSolver } from '#core/ports'
import { ForestallError } from '#core/ports'
import { solveRounds, solveRoundsRemotely } from './lp-rounds.ts'
import type { Scenario } from './lp-scenario.ts'
import { type Network, shortestSplits } from './network.ts'
import { meanDemand, spreadRows } from './plans.ts'
import type { Goal } from './router-goal.ts'
import { greedySplits } from './router-greedy.ts'
import { createSelector, type Selector, type SelectorSettings } from './router-select.ts'

/** What a router mixes into its scenarios, and how it chooses between its plans. */
export interface RouterSettings {
  /** Newest demands added to the drawn scenarios, and their share of the weight. */
  readonly recent: { readonly count: number; readonly weight: number }
  /** Worst demands of the past added, and their share of the weight. */
  readonly extremes: { readonly count: number; readonly weight: number }
  /** The static plan: past demands per bag, and bags (plans made from disjoint demands, averaged). */
  readonly fixed: { readonly perBag: number; readonly bags: number }
  /** Past intervals on which the candidates are compared when the router learns. */
  readonly backtestRows: number
  readonly selector: SelectorSettings
}

/** Settings that won on training periods: they are the same for every network. */
export const ROUTER_SETTINGS: RouterSettings = {
  recent: { count: 6, weight: 0.4 },
  extremes: { count: 30, weight: 0.1 },
  fixed: { perBag: 800, bags: 5 },
  backtestRows: 96,
  selector: { memory: 200, margin: 0.01, minimum: 48 },
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

/** Rows where a plan loses most, worst first. */
function worstRows(
  goal: Goal,
  splits: Float64Array,
  history: readonly Float64Array[],
  to: number,
  count: number,
): number[] {
  const losses = history.slice(0, to).map((demand) => goal.loss(splits, demand))
  return losses
    .map((_, i) => i)
    .sort((a, b) => losses[b]! - losses[a]! || a - b)
    .slice(0, count)
}

/** See {@link Router}. */
export function createRouter(
  network: Network,
  goal: Goal,
  solver: LinearSolver,
  settings: RouterSettings = ROUTER_SETTINGS,
): Router {
  let fixed: Float64Array = shortestSplits(network)
  let extremes: Float64Array[] = []
  let recent: Float64Array[] = []
  let selector: Selector = createSelector('static', settings.selector)
  let contested = true
  const proposals = new Map<number, Map<Candidate, Float64Array>>()

  const solve = (scenarios: readonly Scenario[], standing: Float64Array) => {
    const plan = solveRounds(solver, goal.problem(scenarios, standing))
    if (plan === undefined)
      throw new ForestallError('SOLVER_FAILED', `plan for ${scenarios.length} scenarios`)
    return plan.splits
  }
  /** Plans of disjoint past demands, averaged: less tied to the demands that happened to be in. */
  const fixedPlan = (history: readonly Float64Array[], to: number) => {
    const { perBag, bags } = settings.fixed
    const rows = spreadRows(Math.min(12, to - 1), to, Math.min(perBag * bags, to - Math.min(12, to - 1)))
    const used = Math.max(1, Math.min(bags, Math.floor(rows.length / 200)))
    const sum = new Float64Array(network.paths)
    for (let b = 0; b < used; b++) {
      const bag = rows.filter((_, j) => j % used === b).map((i) => goal.scenario(history[i]!, 1))
      for (const [p, share] of solve(bag, shortestSplits(network)).entries()) sum[p] = sum[p]! + share / used
    }
    return sum
  }
  /** Drawn scenarios, the newest demands and the worst of the past, weighted. */
  const mixture = (
    drawn: readonly Float64Array[],
    newest: readonly Float64Array[],
    worst: readonly Float64Array[],
  ) => {
    const recentWeight = newest.length > 0 ? settings.recent.weight : 0
    const worstWeight = worst.length > 0 ? settings.extremes.weight : 0
    const all: Scenario[] = []
    const add = (demands: readonly Float64Array[], weight: number) => {
      for (const demand of demands) all.push(goal.scenario(demand, weight / demands.length))
    }
    add(drawn, 1 - recentWeight - worstWeight)
    add(newest, recentWeight)
    add(worst, worstWeight)
    return all
  }
  const newestOf = (history: readonly Float64Array[], known: number) =>
    history.slice(Math.max(0, known - settings.recent.count), known)

  /** Mean loss of both candidates on rows that neither has seen; the better one leads. */
  const compare = ({ history, backtest, backtestFrom, lag }: RouterHistory) => {
    if (backtest === undefined || backtestFrom === undefined) return
    const plan = fixedPlan(history, backtestFrom)
    const worst = worstRows(goal, plan, history, backtestFrom, settings.extremes.count).map(
      (i) => history[i]!,
    )
    const trial = createSelector('static', { ...settings.selector, memory: settings.backtestRows })
    for (const row of spreadRows(
      backtestFrom,
      history.length,
      Math.min(settings.backtestRows, history.length - backtestFrom),
    )) {
      const scenarios = mixture(backtest(row), newestOf(history, row - lag + 1), worst)
      trial.note('static', goal.loss(plan, history[row]!))
      trial.note('forecast', goal.loss(solve(scenarios, plan), history[row]!))
    }
    trial.settle()
    selector = createSelector(trial.leader(), settings.selector)
    // Out of reach: not even tried until the next learning.
    contested = trial.loss('forecast') < trial.loss('static') * (1 + settings.selector.margin)
  }
  const assess = (
    splits: Float64Array,
    candidate: RoutePlan['candidate'],
    request: RouteRequest,
    scenarios: readonly Scenario[],
  ) => ({
    splits,
    candidate,
    costNow: goal.expected(request.standing, scenarios),
    costAfter: goal.expected(splits, scenarios),
  })
  const scenariosFor = (request: RouteRequest) => {
    const drawn = request.scenarios.length > 0 ? request.scenarios : recent
    return mixture(drawn, recent, extremes)
  }
  /** Whether the forecast candidate is worth its time for this request. */
  const forecasts = (request: RouteRequest) => request.scenarios.length > 0 && contested
  /** Notes both proposals and picks the leader's; undefined = the solver was late. */
  const finish = (
    request: RouteRequest,
    scenarios: readonly Scenario[],
    forecast: Float64Array | undefined,
  ): RoutePlan => {
    const made = new Map<Candidate, Float64Array>([['static', fixed]])
    if (forecast !== undefined) made.set('forecast', forecast)
    proposals.set(request.target, made)
    if (selector.leader() === 'forecast' && forecast === undefined) return fallback(request, scenarios)
    const leader = selector.leader() as Candidate
    return assess(made.get(leader)!, leader, request, scenarios)
  }
  const fallback = (request: RouteRequest, scenarios: readonly Scenario[]): RoutePlan => {
    const greedy = greedySplits(
      network,
      meanDemand(
        scenarios.map((s) => s.demand),
        0,
        scenarios.length,
      ),
    )
    const plan = assess(greedy, 'greedy', request, scenarios)
    return plan.costAfter < plan.costNow ? plan : assess(request.standing, 'standing', request, scenarios)
  }
  return {
    learn: (past) => {
      const { history } = past
      compare(past)
      fixed = fixedPlan(history, history.length)
      extremes =
        settings.extremes.count === 0
          ? []
          : worstRows(goal, fixed, history, history.length, settings.extremes.count).map((i) => history[i]!)
      recent = newestOf(history, history.length)
    },
    observe: (target, demand) => {
      for (const [candidate, splits] of proposals.get(target) ?? [])
        selector.note(candidate, goal.loss(splits, demand))
      selector.settle()
      for (const key of [...proposals.keys()]) if (key <= target) proposals.delete(key)
      recent = [...recent, demand].slice(-settings.recent.count)
    },
    plan: (request, deadlineMs = Infinity) => {
      const scenarios = scenariosFor(request)
      if (!forecasts(request)) return finish(request, scenarios, undefined)
      const plan = solveRounds(solver, goal.problem(scenarios, request.standing), deadlineMs)
      return finish(request, scenarios, plan?.splits)
    },
    planRemotely: async (remote, request, deadlineMs) => {
      const scenarios = scenariosFor(request)
      if (!forecasts(request)) return finish(request, scenarios, undefined)
      const plan = await solveRoundsRemotely(remote, goal.problem(scenarios, request.standing), deadlineMs)
      return finish(request, scenarios, plan?.splits)
    },
    status: () => ({
      leader: selector.leader() as Candidate,
      losses: { static: selector.loss('static'), forecast: selector.loss('forecast') },
    }),
  }
}
