import type { LinearSolver } from '#core/ports'
import { COST_WEIGHTS, type CostWeights } from './lp-cost.ts'
import { expectedCost, expectedCostProblem } from './lp-expected-cost.ts'
import { createMluProgram } from './lp-mlu.ts'
import type { RoundsProblem } from './lp-rounds.ts'
import { MEAN, type Scenario, type ScenarioObjective, scenarioProblem } from './lp-scenario.ts'
import { maxUtilisation, type Network } from './network.ts'

/** What a router minimises: how plans are made for scenarios, and what a plan loses on a demand that came. */
export interface Goal {
  /** Prepares a demand for planning. */
  scenario(demand: Float64Array, weight: number): Scenario
  /** The planning problem; `standing` = the plan in force. */
  problem(
    scenarios: readonly Scenario[],
    standing: Float64Array,
  ): RoundsProblem<{ readonly splits: Float64Array }>
  /** Loss of a plan on one demand. */
  loss(splits: Float64Array, demand: Float64Array): number
  /** Mean loss over weighted scenarios. */
  expected(splits: Float64Array, scenarios: readonly Scenario[]): number
}

/** Stands in for the optimum of a demand without any traffic: every plan then loses 0 on it. */
const IDLE_OPTIMUM = 1

/** Mean (and tail) of the maximum link utilisation against each demand's own optimum; change is free. */
export function utilisationGoal(
  network: Network,
  solver: LinearSolver,
  objective: ScenarioObjective = MEAN,
): Goal {
  const mlu = createMluProgram(network, solver)
  // Plans are scored again and again on the same past demands.
  const known = new WeakMap<Float64Array, number>()
  const optimum = (demand: Float64Array) => {
    let value = known.get(demand)
    if (value === undefined) known.set(demand, (value = mlu.optimum(demand) || IDLE_OPTIMUM))
    return value
  }
  const loss = (splits: Float64Array, demand: Float64Array) =>
    maxUtilisation(network, splits, demand) / optimum(demand)
  return {
    scenario: (demand, weight) => ({ demand, optimum: optimum(demand), weight }),
    problem: (scenarios, standing) => scenarioProblem(network, scenarios, objective, standing),
    loss,
    expected: (splits, scenarios) => {
      let sum = 0
      let total = 0
      for (const { demand, weight = 1 } of scenarios) {
        sum += weight * loss(splits, demand)
        total += weight
      }
      return sum / total
    },
  }
}

/** Mean latency + overload penalties, ms; a change costs `churnPrice` x the share of traffic moved. */
export function costGoal(network: Network, churnPrice: number, weights: CostWeights = COST_WEIGHTS): Goal {
  return {
    scenario: (demand, weight) => ({ demand, optimum: 1, weight }),
    problem: (scenarios, standing) =>
      expectedCostProblem(network, scenarios, standing, { churnPrice, weights }),
    loss: (splits, demand) => expectedCost(network, [{ demand }], splits, weights),
    expected: (splits, scenarios) => expectedCost(network, scenarios, splits, weights),
  }
}
