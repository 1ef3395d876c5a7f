import type { LinearModel, LinearProgram, LinearSolver } from '#core/ports'
import { type Network, normaliseSplits } from './network.ts'

/** Minimises the maximum link utilisation of one demand; keeps its basis, so later demands solve fast. */
export interface MluProgram {
  /** LP(d) of the protocol: demand floored at 1e-3 of the mean pair, tie broken by hops and a fixed draw. */
  plan(demand: Float64Array): Float64Array
  /** The exact optimum (no floor, no tie-break). */
  optimum(demand: Float64Array): number
  dispose(): void
}

/** Demands and capacities are scaled to this sum: keeps the numbers near 1. */
const SCALE = 1000
/** Weight of the tie-break; below 1e-4 it would fall under the solver's dual tolerance (1e-7). */
const TIE_BREAK = 1e-3

function buildProgram(network: Network, tieBreak: number): LinearProgram {
  const { pairs, paths, links, pathStart, pathLinks, pairOf } = network
  const columns = paths + 1
  const rows = pairs + links
  const entries = paths + pathLinks.length + links
  const starts = new Int32Array(columns + 1)
  const indices = new Int32Array(entries)
  const values = new Float64Array(entries).fill(1)
  let at = 0
  for (let p = 0; p < paths; p++) {
    indices[at++] = pairOf[p]!
    for (let q = pathStart[p]!; q < pathStart[p + 1]!; q++) indices[at++] = pairs + pathLinks[q]!
    starts[p + 1] = at
  }
  const total = network.capacity.reduce((sum, c) => sum + c, 0)
  for (let e = 0; e < links; e++) {
    indices[at] = pairs + e
    values[at++] = (-network.capacity[e]! / total) * SCALE
  }
  starts[columns] = at
  const cost = new Float64Array(columns)
  for (let p = 0; p < paths; p++) cost[p] = (tieBreak * network.tieBreak[p]!) / SCALE
  cost[paths] = 1
  return {
    columns,
    rows,
    cost,
    columnLower: new Float64Array(columns),
    columnUpper: new Float64Array(columns).fill(Infinity),
    rowLower: new Float64Array(rows).fill(-Infinity).fill(0, 0, pairs),
    rowUpper: new Float64Array(rows),
    starts,
    indices,
    values,
  }
}

/** Raises every demand to at least 1e-3 of the mean, so that each pair has a defined split. */
export function floorDemand(demand: Float64Array): Float64Array {
  let sum = 0
  for (let k = 0; k < demand.length; k++) sum += demand[k]!
  const floor = (1e-3 * sum) / demand.length
  return demand.map((d) => Math.max(d, floor))
}

/** See {@link MluProgram}. */
export function createMluProgram(network: Network, solver: LinearSolver): MluProgram {
  const capacitySum = network.capacity.reduce((sum, c) => sum + c, 0)
  const tied: LinearModel = solver.model(buildProgram(network, TIE_BREAK))
  const exact: LinearModel = solver.model(buildProgram(network, 0))
  const solveScaled = (model: LinearModel, demand: Float64Array) => {
    let total = 0
    for (let k = 0; k < demand.length; k++) total += demand[k]!
    if (total === 0) total = 1
    const scaled = demand.map((d) => (d / total) * SCALE)
    model.setRowBounds(0, scaled, scaled)
    return { x: model.solve().x, scaled, total }
  }
  return {
    plan: (demand) => {
      const { x, scaled } = solveScaled(tied, floorDemand(demand))
      const splits = new Float64Array(network.paths)
      for (let p = 0; p < network.paths; p++) splits[p] = x[p]! / (scaled[network.pairOf[p]!]! || 1)
      return normaliseSplits(network, splits)
    },
    optimum: (demand) => {
      const { x, total } = solveScaled(exact, demand)
      return (x[network.paths]! * total) / capacitySum
    },
    dispose: () => {
      tied.dispose()
      exact.dispose()
    },
  }
}
