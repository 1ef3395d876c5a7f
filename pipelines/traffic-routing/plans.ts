import { nearestRank } from '#core/evaluation'
import type { LinearSolver } from '#core/ports'
import { type MluProgram } from './lp-mlu.ts'
import { type Scenario } from './lp-scenario.ts'
import { maxUtilisation, type Network } from './network.ts'

/** Per pair, a statistic over the rows from..to-1 (those that exist). */
export function perPair(
  demands: readonly Float64Array[],
  from: number,
  to: number,
  statistic: (column: Float64Array) => number,
): Float64Array {
  const first = Math.max(0, from)
  const column = new Float64Array(to - first)
  return demands[first]!.map((_, k) => {
    for (let i = first; i < to; i++) column[i - first] = demands[i]![k]!
    return statistic(column)
  })
}

/** Mean per pair over the rows from..to-1. */
export const meanDemand = (demands: readonly Float64Array[], from: number, to: number) =>
  perPair(demands, from, to, (column) => column.reduce((a, b) => a + b, 0) / column.length)

/** Maximum per pair over the rows from..to-1. */
export const peakDemand = (demands: readonly Float64Array[], from: number, to: number) =>
  perPair(demands, from, to, (column) => column.reduce((a, b) => Math.max(a, b), -Infinity))

/** Nearest-rank p-quantile (0..1) per pair over the rows from..to-1. */
export const quantileDemand = (demands: readonly Float64Array[], from: number, to: number, p: number) =>
  perPair(demands, from, to, (column) => nearestRank(column.sort(), p))

/** `count` row numbers spread evenly over from..to-1, both ends included. */
export function spreadRows(from: number, to: number, count: number): number[] {
  const step = count > 1 ? (to - 1 - from) / (count - 1) : 0
  return Array.from({ length: count }, (_, i) => Math.floor(from + step * i))
}

/** Past matrices as scenarios of equal weight. */
export const rowScenarios = (
  demands: readonly Float64Array[],
  optima: Float64Array,
  rows: readonly number[],
): Scenario[] => rows.map((i) => ({ demand: demands[i]!, optimum: optima[i]! }))

/** w a + (1 - w) b: a mixture of plans is a plan. */
export const blend = (a: Float64Array, b: Float64Array, w: number) => a.map((v, p) => w * v + (1 - w) * b[p]!)

/** Everything a plan of the protocol may look at. */
export interface PlanContext {
  readonly network: Network
  readonly solver: LinearSolver
  readonly mlu: MluProgram
  readonly demands: readonly Float64Array[]
  /** Optimal maximum utilisation per row. */
  readonly optima: Float64Array
  readonly train: number
  readonly daily: number
}

/** The `count` training rows from `first` on where `splits` does worst against the optimum, worst first. */
export function worstRows(
  context: PlanContext,
  splits: Float64Array,
  first: number,
  to: number,
  count: number,
): number[] {
  const rows = Array.from({ length: to - first }, (_, i) => first + i)
  const score = new Map(
    rows.map((i) => [i, maxUtilisation(context.network, splits, context.demands[i]!) / context.optima[i]!]),
  )
  return rows.sort((a, b) => score.get(b)! - score.get(a)! || a - b).slice(0, count)
}
