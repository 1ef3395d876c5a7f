import { atMost, blocksWorse, type Metrics, type Target } from '#core/evaluation'
import type { MluResult } from './evaluate-mlu.ts'

/** Names of our plans: the router with the mean as its goal, and with part of the weight on the tail. */
export const OURS = 'ours'
/** A fifth of the weight on the worst 5 %. */
export const OURS_FIFTH = 'ours, tail weight 0.2'
/** A quarter of the weight on the worst 5 %. */
export const OURS_QUARTER = 'ours, tail weight 0.25'
/** Half of the weight on the worst 5 %. */
export const OURS_HALF = 'ours, tail weight 0.5'

const metric = (metrics: Metrics | undefined, key: string) => metrics?.[key] ?? NaN

/** A target that also needs the mean to stay below `mean`; the value is NaN-like infinite where it does not. */
function atMostAtMean(
  name: string,
  metrics: Metrics | undefined,
  key: string,
  target: number,
  mean: number,
): Target {
  const value = metric(metrics, key)
  return { name, value, target, met: value <= target && metric(metrics, 'mean') <= mean }
}

/** Targets of part 1 (protocol section 5). */
export function mluTargets(name: string, result: MluResult): Target[] {
  const row = (plan: string) => result.table.rows.find((r) => r.plan === plan)?.metrics
  const ours = row(OURS)
  const quarter = row(OURS_QUARTER)
  if (name.startsWith('pod')) {
    const scenario = [...result.ratios].find(([plan]) => plan.startsWith('static scenario LP, mean'))?.[1]
    const blocks = scenario === undefined ? NaN : blocksWorse(result.ratios.get(OURS)!, scenario, 200, 0.005)
    const common = [
      atMost(`${name} blocks worse than static p90`, metric(ours, 'blocksWorse'), 0),
      atMost(`${name} blocks worse than the static scenario LP by > 0.5 %`, blocks, 0),
    ]
    if (name.startsWith('pod_a'))
      return [
        atMost(`${name} mean`, metric(ours, 'mean'), 1.122),
        atMost(`${name} mean (stretch)`, metric(ours, 'mean'), 1.115),
        atMostAtMean(`${name} p99 at mean <= 1.15 (${OURS_QUARTER})`, quarter, 'p99', 1.58, 1.15),
        atMostAtMean(`${name} p99 at mean <= 1.19 (${OURS_HALF})`, row(OURS_HALF), 'p99', 1.45, 1.19),
        atMostAtMean(
          `${name} share > 1.5 at mean <= 1.15, % (${OURS_QUARTER})`,
          quarter,
          'above15Percent',
          1.4,
          1.15,
        ),
        ...common,
      ]
    return [
      atMost(`${name} mean`, metric(ours, 'mean'), 1.084),
      atMost(`${name} mean (stretch)`, metric(ours, 'mean'), 1.08),
      atMostAtMean(`${name} p99 at mean <= 1.09 (${OURS_FIFTH})`, row(OURS_FIFTH), 'p99', 1.33, 1.09),
      ...common,
    ]
  }
  return [
    atMost(`${name} mean`, metric(ours, 'mean'), 1.035),
    atMost(`${name} p99`, metric(ours, 'p99'), 1.13),
    atMost(`${name} max`, metric(ours, 'max'), 1.2),
  ]
}

/** Metric, what it is called, and its limit. */
type Limit = readonly [key: string, name: string, limit: number]

const WEEKDAY: readonly Limit[] = [
  ['linkOverloadMin', 'link overload min', 45],
  ['minutesWithAny', 'minutes with any', 15],
  ['addedLatencyMeanMs', 'added latency mean ms', 1.4],
  ['churnPercent', 'churn %', 0.15],
]
const WEEKEND: readonly Limit[] = [
  ['linkOverloadMin', 'link overload min', 0],
  ['addedLatencyMeanMs', 'added latency mean ms', 1],
  ['churnPercent', 'churn %', 0.5],
]
const STRESS: readonly Limit[] = [
  ['linkOverloadMin', 'link overload min', 20],
  ['overCapacityPercent', 'over capacity %', 0.004],
  ['addedLatencyMeanMs', 'added latency mean ms', 1.6],
  ['churnPercent', 'churn %', 1],
]
const LIMITS: Readonly<Record<string, readonly Limit[]>> = {
  weekday: WEEKDAY,
  weekend: WEEKEND,
  stress: STRESS,
}

/** The simple plans that ours must not be worse than, in overload minutes. */
const RIVALS = [
  'static p90, MLU LP',
  'static p90, cost LP',
  'reactive (i-2), MLU LP',
  'reactive (i-2), cost LP',
  'peak of 12 (to i-2), MLU LP',
  'peak of 12 (to i-2), cost LP',
]

/** Targets of part 2 (protocol section 5); on other periods only the comparison with the rivals. */
export function overloadTargets(name: string, rows: readonly { plan: string; metrics: Metrics }[]): Target[] {
  const minutes = (plan: string) => metric(rows.find((r) => r.plan === plan)?.metrics, 'linkOverloadMin')
  const ours = rows.find((r) => r.plan === OURS)?.metrics
  const rival = Math.min(...RIVALS.map(minutes).filter((m) => !Number.isNaN(m)))
  return [
    ...(LIMITS[name] ?? []).map(([key, label, limit]) =>
      atMost(`${name} ${label}`, metric(ours, key), limit),
    ),
    atMost(
      `${name} link overload min, not worse than the best simple plan`,
      metric(ours, 'linkOverloadMin'),
      rival,
    ),
  ]
}
