import { atMost, type EvaluationReport, type Metrics, type ReportTable, type Target } from '#core/evaluation'
import {
  checksums,
  compareWithSimple,
  type Comparison,
  CHECKSUMS,
  differences,
  evaluateTrace,
  generateTrace,
  loadTraces,
  meanTables,
  type PlanFilter,
  reportTables,
  sourceCheck,
  targetsOf,
  type Trace,
  type TraceTables,
  WORKLOAD_NAMES,
  workloadTrace,
} from './evaluation/index.ts'

/** What to evaluate: a folder, or the generator. */
export interface DataEvaluation extends PlanFilter {
  readonly data: string | null
  /** The second half-year of flights. */
  readonly later: boolean
  readonly alphas: readonly number[]
  readonly seeds: readonly number[]
  /** A load of another kind than the protocol's; 'all' takes every one; null: the protocol's. */
  readonly workload: string | null
  /** Only compares ours with the best simple plan, on every kind of load. */
  readonly neverWorse: boolean
  /** Progress, one line each. */
  readonly log: (line: string) => void
}

/** Tables for people, and the report for machines. */
export interface DataEvaluationResult {
  readonly tables: readonly ReportTable[]
  readonly report: EvaluationReport
  /** Rows of the protocol's tables whose digits were not met, and how many comparisons hold, in words. */
  readonly notes: readonly string[]
}

interface Group {
  readonly name: string
  readonly traces: () => Generator<Trace>
  /** The protocol has tables of it: its seeds are 1, 2 and 3, or it is one of its files. */
  readonly isProtocol: boolean
}

function* generated(make: (seed: number) => Trace, seeds: readonly number[]): Generator<Trace> {
  for (const seed of seeds) yield make(seed)
}

function groupsOf(options: DataEvaluation): Group[] {
  const { data, seeds, alphas } = options
  const workload = options.workload ?? (options.neverWorse && data === null ? 'all' : null)
  if (data !== null)
    return loadTraces(data, options.later).map((trace) => ({
      name: trace.name,
      traces: function* () {
        yield trace
      },
      isProtocol: sourceCheck(trace) === true,
    }))
  if (workload !== null)
    return (workload === 'all' ? WORKLOAD_NAMES : [workload]).map((name) => ({
      name,
      traces: () => generated((seed) => workloadTrace(name, seed), seeds),
      isProtocol: false,
    }))
  return alphas.map((alpha) => ({
    name: `synthetic ${alpha}`,
    traces: () => generated((seed) => generateTrace(alpha, seed), seeds),
    isProtocol: seeds.join() === '1,2,3',
  }))
}

/** Rows that our planner follows to the digit; the others differ where ties are broken otherwise once the cap is met. */
const isExact = (plan: string) => /^static|^bounded|^1.1 S: static/.test(plan)

function checkRows(
  group: Group,
  tables: TraceTables,
  checks: Record<string, boolean>,
  notes: string[],
): void {
  if (!group.isProtocol) return
  for (const row of tables.plans) {
    const wrong = differences(group.name, row)
    if (wrong === null) continue
    if (isExact(row.plan) || wrong.length === 0) checks[`${group.name}: ${row.plan}`] = wrong.length === 0
    else notes.push(`differs in a digit from the page: ${group.name}: ${row.plan}: ${wrong.join('; ')}`)
  }
}

/** Another file of the same form is no check that failed: its rows are not those of the page. */
function checkSource(trace: Trace, checks: Record<string, boolean>, notes: string[]): void {
  const row = CHECKSUMS[trace.name]
  if (row !== undefined) checks[`${trace.name}: checksums`] = checksums(trace).join() === row.join()
  const known = sourceCheck(trace)
  if (known === true) checks[`${trace.name}: checksum`] = known
  if (known === false)
    notes.push(`${trace.name}: other data than the page's: its rows are not compared with it`)
}

function collect(name: string, tables: TraceTables, isOnly: boolean, plans: Record<string, Metrics>): void {
  const put = (kind: string, rows: TraceTables['plans']) => {
    for (const { plan, metrics } of rows) {
      const label = kind === '' ? plan : `${kind}: ${plan}`
      plans[isOnly ? label : `${name}: ${label}`] = metrics
      if (kind === '' && isOnly && plan === '1.1 S: ours, live') plans['ours'] = metrics
    }
  }
  put('', tables.plans)
  put('hot set', tables.hotSet)
  put('scaling', tables.scaling)
}

function* comparisons(options: DataEvaluation): Generator<Comparison> {
  const groups = groupsOf(options)
  const isAll = options.data === null && options.workload === null
  for (const group of isAll ? [...groups, ...groupsOf({ ...options, neverWorse: false })] : groups)
    for (const trace of group.traces()) {
      options.log(`${trace.name}: ours and the simple plans`)
      yield* compareWithSimple(trace)
    }
}

/** Ours against the best simple plan on every trace: a target each, and a table with the tightest first. */
function compareAll(options: DataEvaluation): DataEvaluationResult {
  const all = [...comparisons(options)].sort((a, b) => a.slack - b.slack)
  const rows = all.map(({ trace, routing, replicas, best, bestCost, cost, slack, ours }) => ({
    plan: `${trace}: ${routing} ${replicas} (${best})`,
    metrics: { cost, bestCost, slack, copiesPerStep: ours['copiesPerStep']! },
  }))
  const column = (key: string, heading: string, decimals: number) => ({ key, heading, decimals })
  const columns = [
    column('cost', 'ours', 4),
    column('bestCost', 'best simple', 4),
    column('slack', 'below the bar', 4),
    column('copiesPerStep', 'copies/step', 3),
  ]
  const held = all.filter(({ slack }) => slack >= 0).length
  const targets = rows.map(({ plan, metrics }) =>
    atMost(`${plan}: cost, not above the best simple plan`, metrics.cost, metrics.cost + metrics.slack),
  )
  return {
    tables: [{ title: 'ours and the best simple plan, tightest first', columns, rows }],
    report: {
      subsystem: 'data-sharding',
      data: 'never worse than the best simple plan',
      plans: { ours: { held, compared: all.length, worst: all[0]?.slack ?? 0 } },
      targets,
      checks: {},
    },
    notes: [`never worse than the best simple plan: ${held} of ${all.length} comparisons hold`],
  }
}

/**
 * The evaluation protocol: every baseline, ours, targets and check values. Throws CONFIG_INVALID for a folder that holds
 * nothing of the expected form, or a workload that is not known.
 */
export function evaluateData(options: DataEvaluation): DataEvaluationResult {
  if (options.neverWorse) return compareAll(options)
  const out: ReportTable[] = []
  const targets: Target[] = []
  const checks: Record<string, boolean> = {}
  const notes: string[] = []
  const plans: Record<string, Metrics> = {}
  const groups = groupsOf(options)
  for (const group of groups) {
    const each: TraceTables[] = []
    for (const trace of group.traces()) {
      checkSource(trace, checks, notes)
      each.push(evaluateTrace(trace, options, options.log))
    }
    const tables = meanTables(each)
    out.push(...reportTables(group.name, tables))
    targets.push(...targetsOf(group.name, tables))
    checkRows(group, tables, checks, notes)
    collect(group.name, tables, groups.length === 1, plans)
  }
  const report: EvaluationReport = {
    subsystem: 'data-sharding',
    data: groups.map(({ name }) => name).join(', '),
    plans,
    targets,
    checks,
  }
  return { tables: out, report, notes }
}
