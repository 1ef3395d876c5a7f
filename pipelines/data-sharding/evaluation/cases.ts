import type { Column, Metrics, ReportTable } from '#core/evaluation'
import { ForestallError } from '#core/ports'
import { forecastTrace, type Forecasts, simpleExpects } from './forecasts.ts'
import { hotSetScore } from './hot-set.ts'
import { boundedPlan, type Expect, ourPlan, plannedPlan, type PlanRow, staticPlan } from './plans.ts'
import { scalingPlans } from './scaling.ts'
import type { Trace } from './trace.ts'

const column = (key: string, heading: string, decimals: number): Column => ({ key, heading, decimals })

const PLAN_COLUMNS: readonly Column[] = [
  column('maxMeanP50', 'max/mean p50', 2),
  column('maxMeanP99', 'p99', 2),
  column('steps115Percent', 'steps <= 1.15 %', 1),
  column('overloadStepsPercent', 'overload steps %', 2),
  column('workOverPercent', 'work over %', 3),
  column('workOverSloPercent', 'work > SLO %', 2),
  column('p99Latency', 'p99 latency', 1),
  column('copiesPerStep', 'copies/step', 2),
  column('copiesPercent', '(%)', 2),
  column('replicasPerSegment', 'replicas/S', 2),
  column('cost', 'cost', 4),
]
const HOT_COLUMNS: readonly Column[] = [
  column('f1', 'F1', 3),
  column('tolerantF1', 'tolerant F1', 3),
  column('captured', 'load captured', 3),
  column('wape', 'WAPE', 3),
]
const SCALE_COLUMNS: readonly Column[] = [
  column('hoursPercent', 'instance-hours % of static peak', 1),
  column('overloadStepsPercent', 'overload steps %', 2),
  column('workOverPercent', 'work over %', 3),
  column('workOverSloPercent', 'work > SLO %', 2),
  column('changedStepsPercent', 'steps with a change %', 1),
]

/** Which plans to run. */
export interface PlanFilter {
  /** Part of the name; '' takes all. */
  readonly plan: string
  /** Replicas per segment: 1.1 or 1.5; null takes both. */
  readonly replicas: number | null
}

interface PlanSpec {
  readonly plan: string
  readonly replicas: number
  readonly run: () => Metrics
}

/** Names of our plans, as they stand in tables. */
export const OURS = {
  live11: '1.1 S: ours, live',
  live15: 'ours, live',
  equal15: 'ours, equal split',
} as const

function planSpecs(trace: Trace, expects: Readonly<Record<string, Expect>>, own: Forecasts): PlanSpec[] {
  const pooled = trace.calendar === null ? 'pooled RLS' : 'pooled RLS + calendar'
  const all: Readonly<Record<string, Expect>> = {
    ...expects,
    [pooled]: (t) => own.at(t).mean,
    'gamma-Poisson': (t) => own.at(t).gammaPoisson,
  }
  const specs: PlanSpec[] = [
    { plan: 'static ring, 100 vnodes', replicas: 1.5, run: () => staticPlan(trace, 'ring') },
    { plan: 'static rendezvous', replicas: 1.5, run: () => staticPlan(trace, 'rendezvous') },
    {
      plan: 'static rendezvous + 2nd replica of 128 hottest, live router',
      replicas: 1.5,
      run: () => staticPlan(trace, 1.5),
    },
    { plan: 'bounded loads eps 0.25 (churn unlimited)', replicas: 1.5, run: () => boundedPlan(trace) },
  ]
  const add = (plan: string, of: string, routing: 'equal' | 'live', isSpread: boolean, replicas = 1.5) => {
    const expect = all[of]
    if (expect !== undefined)
      specs.push({ plan, replicas, run: () => plannedPlan(trace, expect, routing, replicas, isSpread) })
  }
  const named: Readonly<Record<string, string>> = {
    'last step': 'reactive (last step)',
    'same hour last week': 'last week same hour',
  }
  const of = (name: string) => named[name] ?? name
  for (const name of ['last step', 'same hour last week', 'EWMA 0.05', pooled])
    add(`${of(name)}, equal split`, name, 'equal', false)
  for (const name of [pooled, 'EWMA 0.05', 'seen intensity'])
    add(`${name}, equal split + spread`, name, 'equal', true)
  add('clairvoyant, equal split', 'clairvoyant', 'equal', false)
  for (const name of ['last step', 'same hour last week'])
    add(`${of(name)}, live router`, name, 'live', false)
  for (const name of ['last step', 'EWMA 0.05', 'gamma-Poisson', pooled, 'seen intensity', 'true intensity'])
    add(`${of(name)}, live + spread`, name, 'live', true)
  add('clairvoyant, live router', 'clairvoyant', 'live', false)
  add('clairvoyant, live + spread', 'clairvoyant', 'live', true)
  specs.push({
    plan: '1.1 S: static + 2nd replica of 26 hottest, live router',
    replicas: 1.1,
    run: () => staticPlan(trace, 1.1),
  })
  for (const name of [
    'last step',
    'same hour last week',
    'EWMA 0.05',
    'gamma-Poisson',
    pooled,
    'seen intensity',
  ])
    add(`1.1 S: ${name}, live + spread`, name, 'live', true, 1.1)
  for (const name of ['true intensity', 'clairvoyant'])
    add(`1.1 S: ${name}, live + spread`, name, 'live', true, 1.1)
  specs.push(
    { plan: OURS.equal15, replicas: 1.5, run: () => ourPlan(trace, own, 'equal', 1.5) },
    { plan: OURS.live15, replicas: 1.5, run: () => ourPlan(trace, own, 'live', 1.5) },
    { plan: OURS.live11, replicas: 1.1, run: () => ourPlan(trace, own, 'live', 1.1) },
  )
  return specs
}

/** The three tables of a trace. */
export interface TraceTables {
  readonly plans: PlanRow[]
  readonly hotSet: PlanRow[]
  readonly scaling: PlanRow[]
}

/** Forecasts that are made when the first plan asks for them: static plans and others without a model never do. */
function lazyForecasts(trace: Trace, log: (line: string) => void): Forecasts {
  let made: Forecasts | null = null
  return {
    at(t) {
      if (made === null) {
        log(`${trace.name}: forecasts of ${trace.steps} steps`)
        made = forecastTrace(trace)
      }
      return made.at(t)
    },
  }
}

/** Runs every plan of a trace that passes the filter. Throws CONFIG_INVALID if none does. */
export function evaluateTrace(trace: Trace, filter: PlanFilter, log: (line: string) => void): TraceTables {
  const own = lazyForecasts(trace, log)
  const expects = simpleExpects(trace)
  const specs = planSpecs(trace, expects, own).filter(
    ({ replicas }) => filter.replicas === null || replicas === filter.replicas,
  )
  const wanted = specs.filter(({ plan }) => plan.includes(filter.plan))
  if (wanted.length === 0)
    throw new ForestallError('CONFIG_INVALID', `--plan = ${filter.plan}: no plan has this in its name`, {
      cure: `Name a part of: ${specs.map(({ plan }) => plan).join('; ')}.`,
    })
  const plans = wanted.map(({ plan, run }) => {
    log(`${trace.name}: ${plan}`)
    return { plan, metrics: run() }
  })
  if (filter.plan !== '') return { plans, hotSet: [], scaling: [] }
  const hotSet = Object.entries({
    ...expects,
    'gamma-Poisson': (t: number) => own.at(t).gammaPoisson,
    ours: (t: number) => own.at(t).mean,
  }).map(([plan, expect]) => ({ plan, metrics: hotSetScore(trace, expect) }))
  return { plans, hotSet, scaling: scalingPlans(trace) }
}

function meanRows(rows: readonly (readonly PlanRow[])[]): PlanRow[] {
  return (rows[0] ?? []).map(({ plan, metrics }, r) => ({
    plan,
    metrics: Object.fromEntries(
      Object.keys(metrics).map((key) => [
        key,
        rows.reduce((sum, table) => sum + (table[r]?.metrics[key] ?? NaN), 0) / rows.length,
      ]),
    ),
  }))
}

/** Means over traces of one kind (seeds). */
export const meanTables = (all: readonly TraceTables[]): TraceTables => ({
  plans: meanRows(all.map(({ plans }) => plans)),
  hotSet: meanRows(all.map(({ hotSet }) => hotSet)),
  scaling: meanRows(all.map(({ scaling }) => scaling)),
})

/** The tables for people. */
export function reportTables(name: string, tables: TraceTables): ReportTable[] {
  const table = (title: string, columns: readonly Column[], rows: readonly PlanRow[]) =>
    rows.length === 0 ? [] : [{ title, columns, rows }]
  return [
    ...table(name, PLAN_COLUMNS, tables.plans),
    ...table(`${name}: hot-set forecast`, HOT_COLUMNS, tables.hotSet),
    ...table(`${name}: scaling`, SCALE_COLUMNS, tables.scaling),
  ]
}
