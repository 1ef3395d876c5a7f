/** HAProxy's largest weight: shares are expressed in parts of it. */
export const FULL_WEIGHT = 256

/**
 * Whole weights, summing to 256, for shares (0 or more, any sum above 0): largest remainders get the units left
 * over, ties by name. A share above 0 keeps at least weight 1, taken from the largest: HAProxy would send it nothing.
 * All zero without any share above 0.
 */
export function weightsOf(shares: ReadonlyMap<string, number>): Map<string, number> {
  const wanted = [...shares].filter(([, share]) => share > 0)
  const total = wanted.reduce((sum, [, share]) => sum + share, 0)
  const exact = wanted.map(([name, share]) => ({ name, exact: (share / total) * FULL_WEIGHT }))
  const parts = exact.map((p) => ({ ...p, weight: Math.max(1, Math.floor(p.exact)) }))
  parts.sort((a, b) => b.exact - b.weight - (a.exact - a.weight) || (a.name < b.name ? -1 : 1))
  let left = FULL_WEIGHT - parts.reduce((sum, p) => sum + p.weight, 0)
  for (let i = 0; left > 0 && parts.length > 0; i = (i + 1) % parts.length, left--) {
    const part = parts[i]
    if (part !== undefined) part.weight++
  }
  for (; left < 0; left++) {
    const largest = parts.reduce((a, b) => (b.weight > a.weight ? b : a))
    largest.weight--
  }
  const weights = new Map([...shares.keys()].map((name) => [name, 0]))
  for (const { name, weight } of parts) weights.set(name, weight)
  return weights
}

/** The share of each region in the paths of a decision; several paths may end in one region. */
export function regionShares(paths: readonly { region: string; weight: number }[]): Map<string, number> {
  const shares = new Map<string, number>()
  for (const { region, weight } of paths) shares.set(region, (shares.get(region) ?? 0) + weight)
  return shares
}

/** Mean of the shares that several streams want of one backend, each normalised to 1. */
export function meanShares(all: readonly ReadonlyMap<string, number>[]): Map<string, number> {
  const mean = new Map<string, number>()
  for (const shares of all) {
    const total = [...shares.values()].reduce((sum, share) => sum + share, 0)
    for (const [region, share] of shares) {
      mean.set(region, (mean.get(region) ?? 0) + (total > 0 ? share / total / all.length : 0))
    }
  }
  return mean
}
