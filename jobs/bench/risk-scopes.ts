import type { Series } from './forecast-data.ts'

/** Sums of pairs `ORIGIN>DESTINATION` over what capacities belong to: 12 origins, 12 destinations, the network. */
export interface ScopeSeries {
  readonly origins: readonly Series[]
  readonly destinations: readonly Series[]
  readonly network: readonly Series[]
}

/** Totals per scope; all pairs must have the same times. */
export function totalsOf(pairs: readonly Series[]): ScopeSeries {
  return {
    origins: summed(pairs, (key) => `${key.split('>')[0]}>*`),
    destinations: summed(pairs, (key) => `*>${key.split('>')[1]}`),
    network: summed(pairs, () => '*'),
  }
}

function summed(pairs: readonly Series[], scopeOf: (key: string) => string): Series[] {
  const totals = new Map<string, Series>()
  for (const { key, timesMs, values } of pairs) {
    const scope = scopeOf(key)
    const total = totals.get(scope)?.values ?? new Float64Array(values.length)
    for (let t = 0; t < values.length; t++) total[t] = (total[t] as number) + (values[t] as number)
    totals.set(scope, { key: scope, timesMs, values: total })
  }
  return [...totals.values()]
}
