/** Nearest-rank quantile: sorted[ceil(p n) - 1]. `sorted` is ascending and not empty. */
export function nearestRank(sorted: ArrayLike<number>, p: number): number {
  const at = Math.max(0, Math.ceil(p * sorted.length - 1e-9) - 1)
  return sorted[at]!
}

/** Arithmetic mean; NaN for nothing. */
export function mean(values: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < values.length; i++) sum += values[i]!
  return sum / values.length
}

/** A sorted copy, ascending. */
export function sorted(values: ArrayLike<number>): Float64Array {
  return Float64Array.from(values).sort()
}

/** Value at which `share` of the weight lies at or below; `values` need not be sorted. */
export function weightedQuantile(values: Float64Array, weights: Float64Array, share: number): number {
  const order = Uint32Array.from(values.keys()).sort((a, b) => values[a]! - values[b]! || a - b)
  let total = 0
  for (const w of weights) total += w
  let sum = 0
  for (const i of order) {
    sum += weights[i]!
    if (sum >= share * total) return values[i]!
  }
  return values[order.at(-1) ?? 0] ?? NaN
}

/** Number of blocks of `size` consecutive values (the last one may be short) whose mean in `values` exceeds `bar`'s. */
export function blocksWorse(values: Float64Array, bar: Float64Array, size: number, margin = 0): number {
  let worse = 0
  for (let from = 0; from < values.length; from += size) {
    const a = mean(values.subarray(from, from + size))
    if (a > mean(bar.subarray(from, from + size)) * (1 + margin) + 1e-9) worse++
  }
  return worse
}
