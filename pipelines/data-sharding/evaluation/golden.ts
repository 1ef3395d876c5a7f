import type { PlanRow } from './plans.ts'

/**
 * Rows of the protocol's tables: max/mean p50, p99, steps <= 1.15 %, overload steps %, work over %, work > SLO %,
 * p99 latency, copies/step, replicas/S, with the digits shown there.
 */
const GOLDEN: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  hotel: {
    'static ring, 100 vnodes': '1.51 2.44 2.3 13.33 1.274 19.40 937.0 0.00 1.00',
    'static rendezvous': '1.40 2.10 5.5 7.08 0.420 11.28 132.4 0.00 1.00',
    'static rendezvous + 2nd replica of 128 hottest, live router':
      '1.00 1.11 99.5 0.00 0.000 0.00 3.6 0.00 1.50',
    'bounded loads eps 0.25 (churn unlimited)': '1.41 2.40 6.9 9.38 0.726 13.24 288.7 5.93 1.00',
    'reactive (last step), equal split': '1.24 1.83 24.6 1.25 0.069 2.53 28.2 2.62 1.50',
    'last week same hour, equal split': '1.23 1.98 20.2 0.62 0.048 1.89 18.1 2.69 1.50',
    'clairvoyant, equal split': '1.03 1.09 99.8 0.00 0.000 0.00 3.5 2.61 1.50',
    'reactive (last step), live router': '1.00 1.33 98.2 0.00 0.000 0.00 3.6 0.09 1.50',
    'last week same hour, live router': '1.00 1.33 96.6 0.00 0.000 0.00 3.6 0.17 1.50',
    'reactive (last step), live + spread': '1.00 1.65 77.9 0.00 0.000 0.12 4.5 4.80 1.50',
    'clairvoyant, live router': '1.00 1.02 100.0 0.00 0.000 0.00 3.6 0.07 1.50',
    'clairvoyant, live + spread': '1.00 1.02 100.0 0.00 0.000 0.00 3.6 4.80 1.50',
    '1.1 S: static + 2nd replica of 26 hottest, live router': '1.00 1.54 89.9 0.00 0.000 0.00 4.5 0.00 1.10',
    '1.1 S: last step, live + spread': '1.08 1.87 64.6 0.42 0.016 0.68 5.6 4.98 1.10',
    '1.1 S: same hour last week, live + spread': '1.09 1.83 65.7 0.21 0.004 0.46 5.3 4.91 1.10',
    '1.1 S: clairvoyant, live + spread': '1.00 1.05 100.0 0.00 0.000 0.00 3.6 4.97 1.10',
  },
  'synthetic 0.9': {
    'static ring, 100 vnodes': '1.77 2.53 0.0 33.46 1.991 18.21 27899 0.00 1.00',
    'static rendezvous': '1.53 2.14 0.8 19.57 0.746 12.94 2712 0.00 1.00',
    'static rendezvous + 2nd replica of 128 hottest, live router':
      '1.00 1.36 98.2 0.60 0.025 0.35 3.5 0.00 1.50',
    'bounded loads eps 0.25 (churn unlimited)': '1.31 1.96 0.7 5.23 0.182 4.48 142.5 9.70 1.00',
    'reactive (last step), equal split': '1.10 1.56 81.8 0.92 0.098 0.65 4.9 2.05 1.40',
    'last week same hour, equal split': '1.26 2.02 12.6 6.77 0.277 4.38 1332 2.05 1.40',
    'clairvoyant, equal split': '1.04 1.05 100.0 0.00 0.000 0.01 3.4 2.02 1.40',
    'reactive (last step), live router': '1.00 1.32 98.5 0.79 0.062 0.52 3.3 0.03 1.27',
    'last week same hour, live router': '1.04 1.74 76.6 2.31 0.105 1.33 188.6 0.03 1.26',
    'reactive (last step), live + spread': '1.00 1.10 99.2 0.37 0.017 0.21 3.3 3.30 1.50',
    'clairvoyant, live router': '1.00 1.03 100.0 0.00 0.000 0.00 3.4 0.03 1.27',
    'clairvoyant, live + spread': '1.00 1.00 100.0 0.00 0.000 0.00 3.4 3.30 1.50',
    '1.1 S: static + 2nd replica of 26 hottest, live router':
      '1.16 1.88 44.8 2.85 0.151 1.89 260.2 0.00 1.10',
    '1.1 S: last step, live + spread': '1.00 1.38 98.6 0.92 0.067 0.53 3.3 0.68 1.10',
    '1.1 S: same hour last week, live + spread': '1.10 1.87 62.9 3.67 0.162 2.39 549.7 0.70 1.10',
    '1.1 S: clairvoyant, live + spread': '1.00 1.03 100.0 0.00 0.000 0.00 3.3 0.69 1.10',
  },
  'synthetic 1.1': {
    'static ring, 100 vnodes': '2.38 3.40 0.0 60.04 6.586 31.85 247712 0.00 1.00',
    'static rendezvous': '2.04 2.75 0.0 49.58 4.405 32.34 68458 0.00 1.00',
    'static rendezvous + 2nd replica of 128 hottest, live router':
      '1.06 1.37 77.1 0.45 0.020 0.39 4.4 0.00 1.50',
    'bounded loads eps 0.25 (churn unlimited)': '1.53 2.23 0.2 20.26 0.999 11.59 2250 14.96 1.00',
    'reactive (last step), equal split': '1.10 1.76 86.2 0.89 0.102 0.65 4.8 1.82 1.46',
    'last week same hour, equal split': '1.41 2.20 2.7 15.38 0.690 9.51 5163 1.78 1.45',
    'clairvoyant, equal split': '1.04 1.05 100.0 0.00 0.000 0.02 3.4 1.82 1.44',
    'reactive (last step), live router': '1.00 1.36 98.5 0.77 0.052 0.45 3.4 0.03 1.23',
    'last week same hour, live router': '1.15 1.79 50.8 5.26 0.218 2.87 1364 0.03 1.22',
    'reactive (last step), live + spread': '1.00 1.04 99.2 0.35 0.017 0.19 3.5 3.04 1.50',
    'clairvoyant, live router': '1.00 1.04 100.0 0.00 0.000 0.00 3.4 0.03 1.24',
    'clairvoyant, live + spread': '1.00 1.01 100.0 0.00 0.000 0.00 3.4 3.04 1.50',
    '1.1 S: static + 2nd replica of 26 hottest, live router':
      '1.30 1.82 16.5 4.14 0.176 4.88 461.9 0.00 1.10',
    '1.1 S: last step, live + spread': '1.00 1.33 98.8 0.87 0.047 0.45 3.4 0.50 1.10',
    '1.1 S: same hour last week, live + spread': '1.16 1.88 52.2 6.97 0.302 3.80 1757 0.48 1.10',
    '1.1 S: clairvoyant, live + spread': '1.00 1.03 100.0 0.00 0.000 0.00 3.3 0.48 1.10',
  },
  'synthetic 1.4': {
    'static ring, 100 vnodes': '3.57 4.91 0.0 90.23 19.052 47.63 974377 0.00 1.00',
    'static rendezvous': '3.13 4.19 0.0 81.94 16.268 53.88 707449 0.00 1.00',
    'static rendezvous + 2nd replica of 128 hottest, live router':
      '1.52 2.04 9.3 17.91 1.674 16.21 5795 0.00 1.50',
    'bounded loads eps 0.25 (churn unlimited)': '2.71 3.71 0.0 67.68 9.664 40.27 98377 16.47 1.00',
    'reactive (last step), equal split': '1.08 1.84 90.0 1.17 0.115 0.76 5.1 1.41 1.44',
    'last week same hour, equal split': '1.54 2.69 2.6 26.36 1.646 15.78 21514 1.34 1.46',
    'clairvoyant, equal split': '1.04 1.23 95.8 0.00 0.000 0.02 3.4 1.46 1.45',
    'reactive (last step), live router': '1.00 1.35 98.6 0.69 0.032 0.37 3.3 0.02 1.17',
    'last week same hour, live router': '1.34 2.31 38.4 16.12 1.105 8.95 12400 0.03 1.19',
    'reactive (last step), live + spread': '1.00 1.03 99.3 0.27 0.007 0.14 3.4 0.97 1.50',
    'clairvoyant, live router': '1.00 1.04 100.0 0.00 0.000 0.00 3.4 0.02 1.18',
    'clairvoyant, live + spread': '1.00 1.02 100.0 0.00 0.000 0.00 3.4 0.98 1.50',
    '1.1 S: static + 2nd replica of 26 hottest, live router':
      '1.74 2.26 0.2 29.02 3.040 30.04 11062 0.00 1.10',
    '1.1 S: last step, live + spread': '1.00 1.21 98.8 0.57 0.025 0.35 3.4 0.40 1.10',
    '1.1 S: same hour last week, live + spread': '1.16 2.04 52.0 9.35 0.490 4.93 4737 0.39 1.10',
    '1.1 S: clairvoyant, live + spread': '1.00 1.03 100.0 0.00 0.000 0.00 3.4 0.40 1.10',
  },
  flights: {
    'static ring, 100 vnodes': '1.46 2.10 0.1 2.63 0.291 3.63 1933 0.00 1.00',
    'static rendezvous': '1.40 2.07 0.1 3.12 0.402 4.33 2483 0.00 1.00',
    'static rendezvous + 2nd replica of 128 hottest, live router':
      '1.00 1.06 99.8 0.22 0.057 1.46 63.8 0.00 1.50',
    'bounded loads eps 0.25 (churn unlimited)': '1.29 1.70 1.0 1.13 0.178 2.65 970.9 5.22 1.00',
    'reactive (last step), equal split': '1.12 1.39 71.5 0.47 0.075 1.58 100.3 1.71 1.50',
    'last week same hour, equal split': '1.15 1.63 50.7 0.92 0.110 2.04 392.6 1.70 1.50',
    'clairvoyant, equal split': '1.04 1.05 99.9 0.32 0.060 1.43 63.4 1.71 1.50',
    'reactive (last step), live router': '1.00 1.18 98.5 0.24 0.058 1.47 63.8 0.16 1.50',
    'last week same hour, live router': '1.00 1.25 96.9 0.24 0.058 1.44 63.8 0.18 1.50',
    'reactive (last step), live + spread': '1.00 1.20 98.1 0.25 0.058 1.48 63.8 2.48 1.50',
    'clairvoyant, live router': '1.00 1.04 100.0 0.22 0.057 1.47 63.8 0.14 1.50',
    'clairvoyant, live + spread': '1.00 1.03 100.0 0.22 0.057 1.47 63.8 2.50 1.50',
    '1.1 S: static + 2nd replica of 26 hottest, live router':
      '1.05 1.60 89.1 0.45 0.084 1.97 378.8 0.00 1.10',
    '1.1 S: last step, live + spread': '1.01 1.21 97.7 0.24 0.059 1.45 63.5 1.34 1.10',
    '1.1 S: same hour last week, live + spread': '1.01 1.32 95.0 0.33 0.061 1.46 83.7 1.35 1.10',
    '1.1 S: clairvoyant, live + spread': '1.00 1.04 100.0 0.23 0.058 1.46 62.3 1.36 1.10',
  },
}

const KEYS = [
  'maxMeanP50',
  'maxMeanP99',
  'steps115Percent',
  'overloadStepsPercent',
  'workOverPercent',
  'workOverSloPercent',
  'p99Latency',
  'copiesPerStep',
  'replicasPerSegment',
] as const
const LATENCY = 'p99Latency'
const LATENCY_SPREAD = 0.04

/** True if a figure has the digits of the table; the p99 latency was read off a histogram there: within 4 %. */
function sameDigits(key: string, value: number, shown: string): boolean {
  if (key === LATENCY) return Math.abs(value / Number(shown) - 1) <= LATENCY_SPREAD
  const decimals = shown.split('.')[1]?.length ?? 0
  return Math.abs(value - Number(shown)) <= 0.5 * 10 ** -decimals + 1e-9
}

/** Figures of a row that differ from the table, as `key: value, not shown`; null: the table has no such row. */
export function differences(trace: string, { plan, metrics }: PlanRow): string[] | null {
  const row = GOLDEN[trace]?.[plan]
  if (row === undefined) return null
  const shown = row.split(' ')
  return KEYS.flatMap((key, i) =>
    sameDigits(key, metrics[key] ?? NaN, shown[i]!)
      ? []
      : [`${key} ${(metrics[key] ?? NaN).toFixed(3)}, not ${shown[i]}`],
  )
}
