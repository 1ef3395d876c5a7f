import { atMost, type Target } from '#core/evaluation'
import { OURS, type TraceTables } from './cases.ts'
import { AS_GOOD } from './never-worse.ts'
import type { PlanRow } from './plans.ts'

const atLeast = (name: string, value: number, target: number): Target => ({
  name,
  value,
  target,
  met: value >= target,
})

type Limit = readonly [plan: string, key: string, side: 'most' | 'least', limit: number]

const SYNTHETIC = (alpha: number): Limit[] => {
  const at = [0.9, 1.1, 1.4].indexOf(alpha)
  const common: Limit[] = [
    [OURS.live11, 'steps115Percent', 'least', 99],
    [OURS.live11, 'copiesPerStep', 'most', 0.1],
    [OURS.live15, 'steps115Percent', 'least', 99.5],
    [OURS.live15, 'maxMeanP99', 'most', 1.05],
    [OURS.live15, 'copiesPerStep', 'most', 0.05],
    ['scaling', 'hoursPercent', 'most', 67],
    ['scaling', 'workOverSloPercent', 'most', 0.3],
  ]
  if (at < 0) return common
  return [
    ...common,
    [OURS.equal15, 'steps115Percent', 'least', [95, 96, 88][at]!],
    [OURS.equal15, 'copiesPerStep', 'most', 0.6],
    ['hot set', 'f1', 'least', [0.8, 0.85, 0.87][at]!],
  ]
}

const FLIGHTS: readonly Limit[] = [
  [OURS.live11, 'maxMeanP99', 'most', 1.06],
  [OURS.live11, 'copiesPerStep', 'most', 0.5],
  [OURS.equal15, 'steps115Percent', 'least', 97],
  ['hot set', 'f1', 'least', 0.92],
  ['hot set', 'captured', 'least', 0.98],
  ['scaling', 'hoursPercent', 'most', 34],
  ['scaling', 'workOverSloPercent', 'most', 0.05],
]

const HOTEL: readonly Limit[] = [
  [OURS.live11, 'maxMeanP99', 'most', 1.4],
  [OURS.live11, 'steps115Percent', 'least', 92],
  [OURS.live11, 'copiesPerStep', 'most', 0.05],
  [OURS.equal15, 'steps115Percent', 'least', 42],
  ['hot set', 'f1', 'least', 0.45],
  ['hot set', 'captured', 'least', 0.65],
  ['scaling', 'hoursPercent', 'most', 70],
  ['scaling', 'workOverSloPercent', 'most', 0.5],
]

const valueOf = (rows: readonly PlanRow[], plan: string, key: string) =>
  rows.find((row) => row.plan === plan)?.metrics[key] ?? NaN

function limitsOf(name: string): readonly Limit[] {
  if (/^synthetic [\d.]+$/.test(name)) return SYNTHETIC(Number(name.split(' ')[1]))
  if (name === 'flights' || name === 'flights, second half') return FLIGHTS
  return name === 'hotel' ? HOTEL : []
}

const SIMPLE = [
  'static',
  'reactive',
  'last step',
  'same hour last week',
  'last week same hour',
  'bounded loads',
  'EWMA',
]

/** Ours against the best of the simple plans under the same routing and replicas, in the cost that the policy states. */
function neverWorse(name: string, plans: readonly PlanRow[]): Target[] {
  const kinds: readonly [string, (plan: string) => boolean][] = [
    [OURS.live11, (plan) => plan.startsWith('1.1 S')],
    [OURS.live15, (plan) => !plan.startsWith('1.1 S') && plan.includes('live')],
    [OURS.equal15, (plan) => !plan.includes('live')],
  ]
  return kinds.flatMap(([ours, isOfKind]) => {
    const value = valueOf(plans, ours, 'cost')
    const rivals = plans.filter(
      ({ plan }) =>
        isOfKind(plan) && SIMPLE.some((s) => plan.startsWith(s) || plan.startsWith(`1.1 S: ${s}`)),
    )
    if (Number.isNaN(value) || rivals.length === 0) return []
    const best = rivals.reduce((a, b) => (b.metrics['cost']! < a.metrics['cost']! ? b : a))
    const bar = best.metrics['cost']! * AS_GOOD.factor + AS_GOOD.add
    return [atMost(`${name}: ${ours}: cost, not above the best simple plan (${best.plan})`, value, bar)]
  })
}

/** The targets of the page for a trace, and on every trace the comparison with the best simple plan. */
export function targetsOf(name: string, tables: TraceTables): Target[] {
  const { plans, hotSet, scaling } = tables
  const targets = limitsOf(name).flatMap(([plan, key, side, limit]) => {
    const value =
      plan === 'scaling'
        ? valueOf(scaling, 'ours', key)
        : plan === 'hot set'
          ? valueOf(hotSet, 'ours', key)
          : valueOf(plans, plan, key)
    if (Number.isNaN(value)) return []
    const label = `${name}: ${plan}: ${key}`
    return [side === 'most' ? atMost(label, value, limit) : atLeast(label, value, limit)]
  })
  return [...targets, ...neverWorse(name, plans), ...noHarm(name, plans)]
}

/** Hotel: never more work over the SLO than static. */
function noHarm(name: string, plans: readonly PlanRow[]): Target[] {
  if (name !== 'hotel') return []
  const pairs = [
    [OURS.live11, '1.1 S: static + 2nd replica of 26 hottest, live router'],
    [OURS.live15, 'static rendezvous + 2nd replica of 128 hottest, live router'],
  ] as const
  return pairs.flatMap(([ours, fixed]) => {
    const value = valueOf(plans, ours, 'workOverSloPercent')
    const bar = valueOf(plans, fixed, 'workOverSloPercent')
    return Number.isNaN(value) || Number.isNaN(bar)
      ? []
      : [atMost(`hotel: ${ours}: workOverSloPercent, not above static`, value, bar)]
  })
}
