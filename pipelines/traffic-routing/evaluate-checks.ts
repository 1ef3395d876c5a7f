import type { ReportTable } from '#core/evaluation'
import type { TrafficCase } from './evaluate-data.ts'
import golden from './evaluate-golden.json' with { type: 'json' }
import type { MluResult } from './evaluate-mlu.ts'
import type { PlanContext } from './plans.ts'

/** Named facts that were reproduced or not. */
export type Checks = Record<string, boolean>

const GOLDEN: Readonly<Record<string, Readonly<Record<string, readonly number[]>>>> = golden

/** Check values of the protocol for its developer data, per case: rows, mean optimum, ratios of the first scored row. */
const CHECK_VALUES: Readonly<
  Record<
    string,
    { train: number; rows: number; sum: number; meanOptimum: number; first: Readonly<Record<string, number>> }
  >
> = {
  pod_a: {
    train: 7500,
    rows: 10000,
    sum: 2865688546,
    meanOptimum: 4.353763592,
    first: {
      uniform: 1.414025,
      'shortest path': 1.48812,
      'static p90 LP': 1.108956,
      'last + LP': 1.188035,
      'EWMA(0.5) + LP': 1.057675,
      'peak of 12 + LP': 1.014459,
    },
  },
  pod_b: {
    train: 5000,
    rows: 7500,
    sum: 45748121707,
    meanOptimum: 3.00069608,
    first: {
      uniform: 1.995541,
      'shortest path': 1.318648,
      'static p90 LP': 1.159261,
      'last + LP': 1.284596,
      'EWMA(0.5) + LP': 1.284596,
      'peak of 12 + LP': 1.220429,
    },
  },
  abilene: {
    train: 1440,
    rows: 2016,
    sum: 6026655.490691999,
    meanOptimum: 0.036212149,
    first: {
      uniform: 4.720596,
      'shortest path': 1.567042,
      'static p90 LP': 1.086278,
      'last + LP': 1.139627,
      'EWMA(0.5) + LP': 1.130362,
      'peak of 12 + LP': 1.097014,
    },
  },
}

/** Sum of all demands: tells the developer data, for which the page gives values, from other data of the same form. */
const fingerprint = (data: TrafficCase) =>
  data.demands.reduce((sum, row) => sum + row.reduce((a, b) => a + b, 0), 0)

const near = (value: number | undefined, expected: number, tolerance: number) =>
  value !== undefined && Math.abs(value - expected) <= tolerance

/** True if the page's values belong to this case. */
export function isDeveloperData(data: TrafficCase): boolean {
  const values = CHECK_VALUES[data.name]
  if (values === undefined || values.rows !== data.demands.length || values.train !== data.train) return false
  return Math.abs(fingerprint(data) / values.sum - 1) < 1e-9
}

/** Optima against the published ones, where the folder has them. */
function checkPublished(data: TrafficCase, optima: Float64Array, checks: Checks): void {
  let worst = 0
  let compared = 0
  for (const [i, value] of data.published.entries()) {
    if (Number.isNaN(value)) continue
    compared++
    worst = Math.max(worst, Math.abs(optima[i]! / value - 1))
  }
  if (compared > 0)
    checks[`${data.name}: optima equal the published ones (4e-15 on the page)`] = worst < 1e-12
}

/** Check values of part 1: published optima always, the page's figures on the data it speaks of. */
export function checkMlu(data: TrafficCase, result: MluResult, sampled: boolean): Checks {
  const checks: Checks = {}
  checkPublished(data, result.optima, checks)
  if (!isDeveloperData(data)) return checks
  const values = CHECK_VALUES[data.name]!
  const scored = result.optima.subarray(data.train)
  const meanOptimum = scored.reduce((a, b) => a + b, 0) / scored.length
  checks[`${data.name}: mean optimum ${values.meanOptimum}`] = near(meanOptimum, values.meanOptimum, 1e-9)
  for (const [plan, expected] of Object.entries(values.first))
    checks[`${data.name}: first scored ratio of ${plan} ${expected}`] = near(
      result.ratios.get(plan)?.[0],
      expected,
      1e-6,
    )
  if (!sampled) Object.assign(checks, checkGolden(data.name, result.table, MLU_TOLERANCE))
  return checks
}

/** Allowed difference per column, absolute + relative; a vertex within solver tolerance may turn a fifth digit. */
interface Tolerance {
  readonly absolute: number
  readonly relative: number
}

const MLU_TOLERANCE: readonly Tolerance[] = [
  { absolute: 0.0005, relative: 0 },
  { absolute: 0.0005, relative: 0 },
  { absolute: 0.0051, relative: 0 },
  { absolute: 0.0051, relative: 0 },
  { absolute: 0.081, relative: 0 },
  { absolute: 0.041, relative: 0 },
  { absolute: 0, relative: 0 },
]
/** The page's own: about 5 overload minutes and 5 % of churn for plans made anew every interval. */
const OVERLOAD_TOLERANCE: readonly Tolerance[] = [
  { absolute: 5, relative: 0.005 },
  { absolute: 5, relative: 0.005 },
  { absolute: 0.0006, relative: 0.03 },
  { absolute: 0.006, relative: 0.01 },
  { absolute: 0.06, relative: 0.01 },
  { absolute: 0.002, relative: 0.05 },
  { absolute: 0.006, relative: 0.01 },
  { absolute: 0.006, relative: 0.01 },
]

function checkGolden(name: string, table: ReportTable, tolerances: readonly Tolerance[]): Checks {
  const checks: Checks = {}
  for (const [plan, expected] of Object.entries(GOLDEN[name] ?? {})) {
    const row = table.rows.find((r) => r.plan === plan)
    checks[`${name}: golden row ${plan}`] =
      row !== undefined &&
      expected.every((value, c) => {
        const { absolute, relative } = tolerances[c]!
        return near(row.metrics[table.columns[c]!.key], value, absolute + relative * Math.abs(value) + 1e-9)
      })
  }
  return checks
}

/** Scale factors of part 2 on the page. */
const PHI: Readonly<Record<string, number>> = { weekend: 18.14644, weekday: 9.291152, stress: 20.9382 }

/** Check values of part 2. */
export function checkOverload(
  data: TrafficCase,
  name: string,
  phi: number,
  table: ReportTable,
  sampled: boolean,
): Checks {
  const expected = PHI[name]
  if (expected === undefined || !isDeveloperData(data)) return {}
  const checks: Checks = { [`${name}: phi ${expected}`]: near(phi, expected, 1e-6) }
  return sampled ? checks : { ...checks, ...checkGolden(name, table, OVERLOAD_TOLERANCE) }
}

/** Static p90 splits on pod a, and the candidates and demands named on the page. */
export function checkFacts(data: TrafficCase, c: PlanContext, p90: Float64Array): Checks {
  if (!isDeveloperData(data)) return {}
  const { network, demands } = data
  const pair = (name: string) => network.firstPath[network.pairNames.indexOf(name)]!
  if (data.name === 'pod_a') {
    const from = (name: string) => Array.from(p90.subarray(pair(name), pair(name) + 3))
    const isDirect = (p: number) => network.hops[p] === 1
    const others = Array.from(network.firstPath.subarray(0, network.pairs)).filter(
      (p) => !['2->1', '2->3'].includes(network.pairNames[network.pairOf[p]!]!),
    )
    return {
      'pod_a: static p90 LP 2->1 0.939923 direct, 0.060077 via 0': near(from('2->1')[0], 0.939923, 1e-6),
      'pod_a: static p90 LP 2->3 0.745206 direct, 0.254794 via 0': near(from('2->3')[0], 0.745206, 1e-6),
      'pod_a: static p90 LP, all other pairs direct': others.every(
        (p) => isDirect(p) && near(p90[p], 1, 1e-9),
      ),
    }
  }
  if (data.name !== 'abilene') return {}
  const first = pair('LOSAng->CHINng')
  const latencies = Array.from(network.latencyMs.subarray(first, first + 4))
  const row = demands[c.train]!
  return {
    'abilene: 132 pairs, 522 candidate paths': network.pairs === 132 && network.paths === 522,
    'abilene: LOSAng->CHINng candidates 15.54, 18.015, 19.58, 23.845 ms': [
      15.54, 18.015, 19.58, 23.845,
    ].every((ms, j) => near(latencies[j], ms, 1e-9)),
    'abilene: LOSAng->CHINng 95.2542 Mbit/s in interval 1440': near(
      row[network.pairNames.indexOf('LOSAng->CHINng')],
      95.2542,
      1e-4,
    ),
    'abilene: total 2927.758945 Mbit/s in interval 1440': near(
      row.reduce((a, b) => a + b, 0),
      2927.758945,
      1e-6,
    ),
  }
}
