import type { LinearModel, LinearProgram, LinearSolver } from '#core/ports'
import { floorDemand } from './lp-mlu.ts'
import { type Network, normaliseSplits } from './network.ts'

/** What latency, load and change cost. One unit = 1 ms of mean latency. */
export interface CostWeights {
  /** Utilisation above which load is charged, and the charge per unit above it. */
  readonly warmAbove: number
  readonly warmPrice: number
  /** Utilisation above which load is charged again, and the charge. */
  readonly hotAbove: number
  readonly hotPrice: number
}

/** The protocol's weights: 100 above 0.7, another 1000 above 0.95. */
export const COST_WEIGHTS: CostWeights = { warmAbove: 0.7, warmPrice: 100, hotAbove: 0.95, hotPrice: 1000 }

/** Minimises the cost of one demand: mean latency + overload penalties + churn price x share of traffic moved. */
export interface CostProgram {
  /** The plan for `demand`; `standing` = the plan in force (only with a churn price). */
  plan(demand: Float64Array, standing?: Float64Array): Float64Array
  dispose(): void
}

/** Penalty columns and churn columns around the flows; see {@link createCostProgram}. */
function buildProgram(network: Network, weights: CostWeights, churn: boolean): LinearProgram {
  const { pairs, paths, links, pathStart, pathLinks, pairOf, capacity } = network
  const columns = paths + 2 * links + (churn ? paths : 0)
  const rows = pairs + 2 * links + (churn ? paths : 0)
  const starts: number[] = [0]
  const indices: number[] = []
  const values: number[] = []
  const put = (row: number, value: number) => {
    indices.push(row)
    values.push(value)
  }
  for (let p = 0; p < paths; p++) {
    put(pairOf[p]!, 1)
    for (const offset of [pairs, pairs + links])
      for (let q = pathStart[p]!; q < pathStart[p + 1]!; q++)
        put(offset + pathLinks[q]!, 1 / capacity[pathLinks[q]!]!)
    if (churn) put(pairs + 2 * links + p, 1)
    starts.push(indices.length)
  }
  for (let j = 0; j < columns - paths; j++) {
    put(pairs + j, -1)
    starts.push(indices.length)
  }
  const rowUpper = new Float64Array(rows)
  rowUpper
    .fill(weights.warmAbove, pairs, pairs + links)
    .fill(weights.hotAbove, pairs + links, pairs + 2 * links)
  return {
    columns,
    rows,
    cost: new Float64Array(columns),
    columnLower: new Float64Array(columns),
    columnUpper: new Float64Array(columns).fill(Infinity),
    rowLower: new Float64Array(rows).fill(-Infinity).fill(0, 0, pairs),
    rowUpper,
    starts: Int32Array.from(starts),
    indices: Int32Array.from(indices),
    values: Float64Array.from(values),
  }
}

/**
 * Cost LP(d) of the protocol: min sum_p x_p latency_p / sum d + warmPrice sum_e (u_e - warmAbove)+ +
 * hotPrice sum_e (u_e - hotAbove)+ + churnPrice x share of traffic moved against the standing plan.
 */
export function createCostProgram(
  network: Network,
  solver: LinearSolver,
  churnPrice = 0,
  weights: CostWeights = COST_WEIGHTS,
): CostProgram {
  const { pairs, paths, links, pairOf } = network
  const churn = churnPrice > 0
  const model: LinearModel = solver.model(buildProgram(network, weights, churn))
  const cost = new Float64Array(paths + 2 * links + (churn ? paths : 0))
  cost.fill(weights.warmPrice, paths, paths + links).fill(weights.hotPrice, paths + links, paths + 2 * links)
  return {
    plan: (raw, standing) => {
      const demand = floorDemand(raw)
      const total = demand.reduce((sum, d) => sum + d, 0) || 1
      for (let p = 0; p < paths; p++)
        cost[p] = (network.latencyMs[p]! + 1e-3 * (network.tieBreak[p]! - network.hops[p]!)) / total
      if (churn) {
        cost.fill(standing === undefined ? 0 : churnPrice / total, paths + 2 * links)
        const upper = Float64Array.from(pairOf, (k, p) => (standing?.[p] ?? 0) * demand[k]!)
        model.setRowBounds(pairs + 2 * links, new Float64Array(paths).fill(-Infinity), upper)
      }
      model.setRowBounds(0, demand, demand)
      model.setCosts(0, cost)
      const { x } = model.solve()
      const splits = Float64Array.from(pairOf, (k, p) => x[p]! / (demand[k]! || 1))
      return normaliseSplits(network, splits)
    },
    dispose: () => {
      model.dispose()
    },
  }
}
