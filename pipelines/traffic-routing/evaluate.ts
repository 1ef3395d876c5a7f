import type { EvaluationReport, Metrics, ReportTable, Target } from '#core/evaluation'
import type { LinearSolver } from '#core/ports'
import { type Checks, checkFacts, checkMlu, checkOverload, isDeveloperData } from './evaluate-checks.ts'
import { loadCases, type TrafficCase } from './evaluate-data.ts'
import { evaluateMlu, mluContext } from './evaluate-mlu.ts'
import type { NamedPlan } from './evaluate-mlu-plans.ts'
import { ourMluPlan, ourOverloadPlan } from './evaluate-ours.ts'
import { evaluateOverload, overloadCase } from './evaluate-overload.ts'
import { evaluateShards } from './evaluate-shards.ts'
import { mluTargets, OURS, OURS_FIFTH, OURS_HALF, OURS_QUARTER, overloadTargets } from './evaluate-targets.ts'
import { MEAN } from './lp-scenario.ts'
import type { PlanContext } from './plans.ts'
import { quantileDemand } from './plans.ts'

/** What to evaluate. */
export interface TrafficEvaluation {
  /** Folder with Abilene matrices or with pods. */
  readonly data: string
  /** Folder of the same form with the period that follows: it is scored, `data` trains. */
  readonly next?: string
  /** Scores a sample of the rows (for continuous integration): figures are then approximate, golden rows unchecked. */
  readonly quick?: boolean
  readonly solver: LinearSolver
  /** Progress, one line each. */
  readonly log: (line: string) => void
}

/** Tables for people, and the report for machines. */
export interface TrafficEvaluationResult {
  readonly tables: readonly ReportTable[]
  readonly report: EvaluationReport
}

/** Overload splits of part 2: [name, rows used, rows trained on, level of the shortest-path p99]. */
function overloadSplits(data: TrafficCase): (readonly [string, number, number, number])[] {
  const { train, daily, demands } = data
  if (data.name.endsWith('_next')) {
    return [
      ['next', demands.length, train, 1.3],
      ['next_stress', demands.length, train, 1.5],
    ]
  }
  // The training days themselves, cut three to two, are the weekday split.
  const weekday = Math.floor((train / daily) * 0.6) * daily
  const splits: (readonly [string, number, number, number])[] = [
    ['weekend', demands.length, train, 1.3],
    ['stress', demands.length, train, 1.5],
  ]
  return weekday >= 2 * daily && weekday < train ? [['weekday', train, weekday, 1.3], ...splits] : splits
}

/** Our plans, made only when their turn comes (the solver's path through the golden rows must not change). */
function* ourMluPlans(context: PlanContext, isPod: boolean): Generator<NamedPlan> {
  yield ourMluPlan(context, OURS, MEAN)
  if (!isPod) return
  yield ourMluPlan(context, OURS_FIFTH, { tail: 0.2, level: 0.95 })
  yield ourMluPlan(context, OURS_QUARTER, { tail: 0.25, level: 0.95 })
  yield ourMluPlan(context, OURS_HALF, { tail: 0.5, level: 0.95 })
}

interface Collected {
  readonly tables: { name: string; table: ReportTable }[]
  readonly targets: Target[]
  readonly checks: Checks
}

function evaluateUtilisation(data: TrafficCase, options: TrafficEvaluation, out: Collected): void {
  const { solver, log, quick = false } = options
  const context = mluContext(data, solver)
  log(`${data.name}: ${data.demands.length} optima`)
  const result = evaluateMlu(data, context, ourMluPlans(context, data.daily === 0), quick ? 25 : 1, log)
  out.tables.push({ name: data.name, table: result.table })
  out.targets.push(...mluTargets(data.name, result))
  const p90 = context.mlu.plan(quantileDemand(data.demands, 0, data.train, 0.9))
  Object.assign(out.checks, checkMlu(data, result, quick), checkFacts(data, context, p90))
  context.mlu.dispose()
}

function evaluateOverloads(data: TrafficCase, options: TrafficEvaluation, out: Collected): void {
  const { solver, log, quick = false } = options
  for (const [name, rows, train, level] of overloadSplits(data)) {
    const split = overloadCase(name, data, rows, train, level)
    const table = evaluateOverload(
      split,
      solver,
      [() => ourOverloadPlan(split, solver, OURS)],
      quick ? 12 : 1,
      log,
    )
    out.tables.push({ name, table })
    out.targets.push(...overloadTargets(name, table.rows))
    Object.assign(out.checks, checkOverload(data, name, split.phi, table, quick))
  }
}

/** Part 3; its page values hold for the developer data only. */
function evaluateSharding(data: TrafficCase, { solver, log }: TrafficEvaluation, out: Collected): void {
  const { network, demands, train, daily } = data
  const name = isDeveloperData(data) ? data.name : `${data.name} (other data)`
  const result = evaluateShards({ name, network, demands, trainCount: train, daily, solver, progress: log })
  out.tables.push({ name: 'shards', table: result.table })
  out.targets.push(...result.targets)
  Object.assign(out.checks, result.checks)
}

/** Plans of all tables: with several tables as `<table>: <plan>`, and the first table's also by their bare names. */
function collectPlans(tables: Collected['tables']): Record<string, Metrics> {
  const plans: Record<string, Metrics> = {}
  for (const { plan, metrics } of tables[0]?.table.rows ?? []) plans[plan] = metrics
  if (tables.length > 1)
    for (const { name, table } of tables)
      for (const { plan, metrics } of table.rows) plans[`${name}: ${plan}`] = metrics
  return plans
}

/**
 * The evaluation protocol on a folder (parts 1 to 3; pods have part 1 only): every baseline, ours, targets and check values. Throws
 * ForestallError CONFIG_INVALID for a folder that holds nothing of the expected form.
 */
export function evaluateTraffic(options: TrafficEvaluation): TrafficEvaluationResult {
  const cases = loadCases(options.data, options.next)
  const out: Collected = { tables: [], targets: [], checks: {} }
  for (const data of cases) {
    evaluateUtilisation(data, options, out)
    if (data.daily === 0) continue
    evaluateOverloads(data, options, out)
    if (options.quick !== true) evaluateSharding(data, options, out)
  }
  const report: EvaluationReport = {
    subsystem: 'traffic-routing',
    data: cases.map((c) => c.name).join(', '),
    plans: collectPlans(out.tables),
    targets: out.targets,
    checks: out.checks,
  }
  return { tables: out.tables.map(({ table }) => table), report }
}
