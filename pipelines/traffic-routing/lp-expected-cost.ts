import type { LinearProgram, LinearRows, LinearSolution, LinearSolver } from '#core/ports'
import { ForestallError } from '#core/ports'
import { COST_WEIGHTS, type CostWeights } from './lp-cost.ts'
import { type RoundsProblem, solveRounds } from './lp-rounds.ts'
import { type Network, normaliseSplits, utilisation } from './network.ts'

/** A joint demand that may come, and its relative weight (1 unless given). */
export interface DemandScenario {
  readonly demand: Float64Array
  readonly weight?: number
}

/** What the expected-cost plan minimises. */
export interface ExpectedCostOptions {
  readonly weights?: CostWeights
  /** Cost of moving all traffic once, in ms of mean latency. */
  readonly churnPrice?: number
}

/** The plan of least expected cost. */
export interface ExpectedCostPlan {
  readonly splits: Float64Array
  /** Rounds of row generation. */
  readonly rounds: number
}

const TOLERANCE = 1e-7
/** Loads this close below a threshold are added with those above it: fewer rounds. */
const SLACK = 0.02
const MAX_ROUNDS = 40

/** Mean share of every pair in the traffic of the scenarios: the weight of its latency and of its churn. */
function trafficShares(
  network: Network,
  scenarios: readonly DemandScenario[],
  weights: Float64Array,
): Float64Array {
  const shares = new Float64Array(network.pairs)
  for (const [s, { demand }] of scenarios.entries()) {
    const total = demand.reduce((sum, d) => sum + d, 0) || 1
    for (let k = 0; k < network.pairs; k++) shares[k] = shares[k]! + (weights[s]! * demand[k]!) / total
  }
  return shares
}

function normalisedWeights(scenarios: readonly DemandScenario[]): Float64Array {
  const total = scenarios.reduce((sum, s) => sum + (s.weight ?? 1), 0)
  return Float64Array.from(scenarios, (s) => (s.weight ?? 1) / total)
}

interface Build {
  readonly network: Network
  readonly scenarios: readonly DemandScenario[]
  readonly scenarioWeights: Float64Array
  readonly standing: Float64Array
  readonly cost: CostWeights
}

/**
 * Columns: share added to and taken from every path against the standing plan, then the load above warmAbove and above
 * hotAbove per scenario and link. Starting at the standing plan makes churn a cost of the first two groups only.
 */
function masterProgram(build: Build, churnPrice: number): LinearProgram {
  const { network, scenarios, scenarioWeights, standing, cost } = build
  const { paths, pairs, links, pairOf } = network
  const cells = scenarios.length * links
  const columns = 2 * paths + 2 * cells
  const shares = trafficShares(network, scenarios, scenarioWeights)
  const costs = new Float64Array(columns)
  for (let p = 0; p < paths; p++) {
    const share = shares[pairOf[p]!]!
    const latency = (network.latencyMs[p]! + 1e-3 * (network.tieBreak[p]! - network.hops[p]!)) * share
    // Half of the price on each side: what leaves one path arrives on another.
    costs[p] = latency + (churnPrice / 2) * share
    costs[paths + p] = -latency + (churnPrice / 2) * share
  }
  for (let s = 0; s < scenarios.length; s++) {
    const at = 2 * paths + s * links
    costs.fill(cost.warmPrice * scenarioWeights[s]!, at, at + links)
    costs.fill(cost.hotPrice * scenarioWeights[s]!, at + cells, at + cells + links)
  }
  const starts = Int32Array.from({ length: columns + 1 }, (_, j) => Math.min(j, 2 * paths))
  const indices = Int32Array.from({ length: 2 * paths }, (_, j) => pairOf[j % paths]!)
  return {
    columns,
    rows: pairs,
    cost: costs,
    columnLower: new Float64Array(columns),
    columnUpper: new Float64Array(columns)
      .fill(Infinity)
      .fill(1, 0, paths)
      .map((v, j) => (j >= paths && j < 2 * paths ? standing[j - paths]! : v)),
    rowLower: new Float64Array(pairs),
    rowUpper: new Float64Array(pairs),
    starts,
    indices,
    values: Float64Array.from({ length: 2 * paths }, (_, j) => (j < paths ? 1 : -1)),
  }
}

/** Links crossed by each path, as lists per link. */
function pathsOfLinks(network: Network): number[][] {
  const lists: number[][] = Array.from({ length: network.links }, () => [])
  for (let p = 0; p < network.paths; p++)
    for (let q = network.pathStart[p]!; q < network.pathStart[p + 1]!; q++)
      lists[network.pathLinks[q]!]!.push(p)
  return lists
}

/** A constraint to add: load of link e in scenario s minus its penalty column stays below the threshold. */
type Cut = readonly [scenario: number, link: number, hot: boolean]

function cutRows(
  build: Build,
  onLink: readonly number[][],
  cuts: readonly Cut[],
  base: readonly Float64Array[],
): LinearRows {
  const { network, scenarios, cost } = build
  const { paths, links, capacity, pairOf } = network
  const cells = scenarios.length * links
  const starts: number[] = [0]
  const indices: number[] = []
  const values: number[] = []
  const upper = new Float64Array(cuts.length)
  for (const [i, [s, e, hot]] of cuts.entries()) {
    const demand = scenarios[s]!.demand
    for (const sign of [1, -1])
      for (const p of onLink[e]!) {
        indices.push(sign > 0 ? p : paths + p)
        values.push((sign * demand[pairOf[p]!]!) / capacity[e]!)
      }
    indices.push(2 * paths + s * links + e + (hot ? cells : 0))
    values.push(-1)
    starts.push(indices.length)
    upper[i] = (hot ? cost.hotAbove : cost.warmAbove) - base[s]![e]!
  }
  return {
    lower: new Float64Array(cuts.length).fill(-Infinity),
    upper,
    starts: Int32Array.from(starts),
    indices: Int32Array.from(indices),
    values: Float64Array.from(values),
  }
}

/** Loads above a threshold that no constraint of the program knows of yet. `slack` admits those that come close. */
function missingCuts(build: Build, splits: Float64Array, slack: number, seen: Set<number>): Cut[] {
  const { network, scenarios, cost } = build
  const u = new Float64Array(network.links)
  const cuts: Cut[] = []
  const consider = (s: number, e: number, hot: boolean) => {
    const key = 2 * (s * network.links + e) + (hot ? 1 : 0)
    if (seen.has(key)) return
    seen.add(key)
    cuts.push([s, e, hot])
  }
  for (const [s, { demand }] of scenarios.entries()) {
    utilisation(network, splits, demand, u)
    for (let e = 0; e < u.length; e++) {
      if (u[e]! > cost.warmAbove - slack + TOLERANCE) consider(s, e, false)
      if (u[e]! > cost.hotAbove - slack + TOLERANCE) consider(s, e, true)
    }
  }
  return cuts
}

function* expectedCostRounds(build: Build): Generator<LinearRows | null, ExpectedCostPlan, LinearSolution> {
  const { network, scenarios, standing } = build
  const onLink = pathsOfLinks(network)
  const base = scenarios.map(({ demand }) =>
    utilisation(network, standing, demand, new Float64Array(network.links)),
  )
  const seen = new Set<number>()
  let splits: Float64Array = standing.slice()
  let rounds = 0
  for (; rounds < MAX_ROUNDS; rounds++) {
    const cuts = missingCuts(build, splits, SLACK, seen)
    if (cuts.length === 0 && rounds > 0) break
    const { x } = yield cuts.length > 0 ? cutRows(build, onLink, cuts, base) : null
    splits = Float64Array.from(standing, (f, p) => f + x[p]! - x[network.paths + p]!)
  }
  return { splits: normaliseSplits(network, splits), rounds }
}

/**
 * The plan of least expected cost over joint scenarios, as a problem in rounds: mean latency + overload penalties +
 * churn price x share of traffic moved against `standing`. Exact: overload constraints are added as they are met.
 */
export function expectedCostProblem(
  network: Network,
  scenarios: readonly DemandScenario[],
  standing: Float64Array,
  options: ExpectedCostOptions = {},
): RoundsProblem<ExpectedCostPlan> {
  const { weights: cost = COST_WEIGHTS, churnPrice = 0 } = options
  const build: Build = { network, scenarios, scenarioWeights: normalisedWeights(scenarios), standing, cost }
  return { program: masterProgram(build, churnPrice), rounds: expectedCostRounds(build) }
}

/** Solves {@link expectedCostProblem} on this thread. Throws SOLVER_FAILED if the solver gives no optimum. */
export function planExpectedCost(
  network: Network,
  solver: LinearSolver,
  scenarios: readonly DemandScenario[],
  standing: Float64Array,
  options: ExpectedCostOptions = {},
): ExpectedCostPlan {
  const plan = solveRounds(solver, expectedCostProblem(network, scenarios, standing, options))
  if (plan === undefined)
    throw new ForestallError('SOLVER_FAILED', `expected cost of ${scenarios.length} scenarios`)
  return plan
}

/** Expected cost of a plan over scenarios (without churn), in ms of mean latency. */
export function expectedCost(
  network: Network,
  scenarios: readonly DemandScenario[],
  splits: Float64Array,
  cost: CostWeights = COST_WEIGHTS,
): number {
  const weights = normalisedWeights(scenarios)
  const shares = trafficShares(network, scenarios, weights)
  const u = new Float64Array(network.links)
  let sum = 0
  for (let p = 0; p < network.paths; p++)
    sum += network.latencyMs[p]! * shares[network.pairOf[p]!]! * splits[p]!
  for (const [s, { demand }] of scenarios.entries()) {
    utilisation(network, splits, demand, u)
    for (const value of u)
      sum +=
        weights[s]! *
        (cost.warmPrice * Math.max(0, value - cost.warmAbove) +
          cost.hotPrice * Math.max(0, value - cost.hotAbove))
  }
  return sum
}
