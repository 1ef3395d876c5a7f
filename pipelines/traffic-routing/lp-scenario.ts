import type { LinearProgram, LinearRows, LinearSolution, LinearSolver } from '#core/ports'
import { ForestallError } from '#core/ports'
import { type RoundsProblem, solveRounds } from './lp-rounds.ts'
import { type Network, normaliseSplits, uniformSplits, utilisation } from './network.ts'

/** A joint demand that may come, with the optimum it is measured against and its weight. */
export interface Scenario {
  readonly demand: Float64Array
  /** What 1.0 means for this scenario: its own optimal maximum utilisation. */
  readonly optimum: number
  /** Relative weight; 1 unless given. */
  readonly weight?: number
}

/** Objective = (1 - tail) * mean + tail * CVaR_level of the scenarios' normalised maximum utilisation. */
export interface ScenarioObjective {
  /** 0 = mean only, 0.5 = the protocol's "mix", 1 = CVaR only. */
  readonly tail: number
  /** Level of the CVaR: 0.95 = mean of the worst 5 %. */
  readonly level: number
}

/** The mean alone. */
export const MEAN: ScenarioObjective = { tail: 0, level: 0.95 }
/** Half mean, half CVaR 95 %: the protocol's "mix". */
export const MIX: ScenarioObjective = { tail: 0.5, level: 0.95 }

/** How a plan over scenarios came out. */
export interface ScenarioPlan {
  readonly splits: Float64Array
  /** Rounds of row generation. */
  readonly rounds: number
  /** Constraints in the last round, of `links * scenarios` in the whole program. */
  readonly rows: number
}

const TIE_BREAK = 1e-3
/** A scenario's maximum is known to this accuracy when row generation stops. */
const TOLERANCE = 1e-7
/** Links this close to a scenario's worst are added with it: fewer rounds, few more rows (0.3: 8 times as slow). */
const BAND = 0.03
const MAX_ROUNDS = 60

interface Build {
  readonly network: Network
  readonly scenarios: readonly Scenario[]
  readonly weights: Float64Array
  readonly objective: ScenarioObjective
}

/** Columns: splits, U per scenario, and for a tail the threshold t and an excess z per scenario. */
function masterProgram({ network, weights, objective }: Build): LinearProgram {
  const { paths, pairs } = network
  const K = weights.length
  const tailed = objective.tail > 0
  const columns = paths + K + (tailed ? 1 + K : 0)
  const rows = pairs + (tailed ? K : 0)
  const cost = new Float64Array(columns)
  for (let p = 0; p < paths; p++) cost[p] = (TIE_BREAK * network.tieBreak[p]!) / pairs
  for (let s = 0; s < K; s++) cost[paths + s] = (1 - objective.tail) * weights[s]!
  if (tailed) {
    cost[paths + K] = objective.tail
    for (let s = 0; s < K; s++)
      cost[paths + K + 1 + s] = (objective.tail / (1 - objective.level)) * weights[s]!
  }
  const starts: number[] = [0]
  const indices: number[] = []
  const values: number[] = []
  for (let j = 0; j < columns; j++) {
    if (j < paths) indices.push(network.pairOf[j]!)
    else if (tailed && j < paths + K) indices.push(pairs + j - paths)
    else if (j === paths + K) for (let s = 0; s < K; s++) indices.push(pairs + s)
    else if (j > paths + K) indices.push(pairs + j - paths - K - 1)
    while (values.length < indices.length) values.push(j < paths + K ? 1 : -1)
    starts.push(indices.length)
  }
  return {
    columns,
    rows,
    cost,
    columnLower: new Float64Array(columns),
    columnUpper: new Float64Array(columns).fill(Infinity),
    rowLower: new Float64Array(rows).fill(-Infinity).fill(1, 0, pairs),
    rowUpper: new Float64Array(rows).fill(0).fill(1, 0, pairs),
    starts: Int32Array.from(starts),
    indices: Int32Array.from(indices),
    values: Float64Array.from(values),
  }
}

/** Paths over each link, so that a constraint row can be written down. */
function pathsOfLinks(network: Network): Int32Array[] {
  const lists: number[][] = Array.from({ length: network.links }, () => [])
  for (let p = 0; p < network.paths; p++)
    for (let q = network.pathStart[p]!; q < network.pathStart[p + 1]!; q++)
      lists[network.pathLinks[q]!]!.push(p)
  return lists.map((list) => Int32Array.from(list))
}

/** Writes the rows sum_p f_p d_s / (c_e opt_s) - U_s <= 0 of the given (scenario, link) pairs. */
function cutRows(build: Build, onLink: readonly Int32Array[], cuts: readonly [number, number][]): LinearRows {
  const { network, scenarios } = build
  const starts: number[] = [0]
  const indices: number[] = []
  const values: number[] = []
  for (const [s, e] of cuts) {
    const { demand, optimum } = scenarios[s]!
    const unit = 1 / (network.capacity[e]! * optimum)
    for (const p of onLink[e]!) {
      indices.push(p)
      values.push(demand[network.pairOf[p]!]! * unit)
    }
    indices.push(network.paths + s)
    values.push(-1)
    starts.push(indices.length)
  }
  return {
    lower: new Float64Array(cuts.length).fill(-Infinity),
    upper: new Float64Array(cuts.length),
    starts: Int32Array.from(starts),
    indices: Int32Array.from(indices),
    values: Float64Array.from(values),
  }
}

/** Links of a scenario within `band` of its maximum and above `level`: the constraints that may bind. */
function hotLinks(network: Network, u: Float64Array, level: number, band: number, out: number[]): void {
  let max = 0
  for (let e = 0; e < network.links; e++) if (u[e]! > max) max = u[e]!
  out.length = 0
  const bar = Math.max(level, max - band)
  for (let e = 0; e < network.links; e++) if (u[e]! > bar) out.push(e)
}

/** One round: the constraints that `splits` violates (`U` = each scenario's bound, `band` = how many near the worst). */
function violated(
  build: Build,
  splits: Float64Array,
  bounds: Float64Array,
  band: number,
  seen: Set<number>,
): [number, number][] {
  const { network, scenarios } = build
  const u = new Float64Array(network.links)
  const hot: number[] = []
  const cuts: [number, number][] = []
  for (let s = 0; s < scenarios.length; s++) {
    const { demand, optimum } = scenarios[s]!
    utilisation(network, splits, demand, u)
    for (let e = 0; e < u.length; e++) u[e] = u[e]! / optimum
    hotLinks(network, u, bounds[s]! + TOLERANCE, band, hot)
    for (const e of hot) {
      const key = s * network.links + e
      if (seen.has(key)) continue
      seen.add(key)
      cuts.push([s, e])
    }
  }
  return cuts
}

function* scenarioRounds(
  build: Build,
  start: Float64Array,
): Generator<LinearRows | null, ScenarioPlan, LinearSolution> {
  const { network, scenarios } = build
  const onLink = pathsOfLinks(network)
  const seen = new Set<number>()
  let splits: Float64Array = start
  let bounds: Float64Array = new Float64Array(scenarios.length)
  let rounds = 0
  for (; rounds < MAX_ROUNDS; rounds++) {
    const cuts = violated(build, splits, bounds, BAND, seen)
    if (cuts.length === 0) break
    const { x } = yield cutRows(build, onLink, cuts)
    splits = x.slice(0, network.paths)
    bounds = x.subarray(network.paths, network.paths + scenarios.length)
  }
  return { splits: normaliseSplits(network, splits.slice()), rounds, rows: seen.size }
}

/**
 * Scenario LP as a problem in rounds: one plan for all scenarios, minimising mean and tail of their normalised maximum
 * utilisation, exactly (constraints are added as they are violated, which leaves the optimum as it is and the program
 * small). `start` = a plan to begin from. Deterministic.
 */
export function scenarioProblem(
  network: Network,
  scenarios: readonly Scenario[],
  objective: ScenarioObjective = MEAN,
  start: Float64Array = uniformSplits(network),
): RoundsProblem<ScenarioPlan> {
  const total = scenarios.reduce((sum, s) => sum + (s.weight ?? 1), 0)
  const weights = Float64Array.from(scenarios, (s) => (s.weight ?? 1) / total)
  const build: Build = { network, scenarios, weights, objective }
  return { program: masterProgram(build), rounds: scenarioRounds(build, start) }
}

/** Solves {@link scenarioProblem} on this thread. Throws SOLVER_FAILED if the solver gives no optimum. */
export function planScenarios(
  network: Network,
  solver: LinearSolver,
  scenarios: readonly Scenario[],
  objective: ScenarioObjective = MEAN,
  start: Float64Array = uniformSplits(network),
): ScenarioPlan {
  const plan = solveRounds(solver, scenarioProblem(network, scenarios, objective, start))
  if (plan === undefined)
    throw new ForestallError('SOLVER_FAILED', `scenario plan of ${scenarios.length} scenarios`)
  return plan
}
