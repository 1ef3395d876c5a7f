/** Probabilities of the quantiles that every forecast carries: q025 q10 q50 q90 q975 q99. */
export const QUANTILE_LEVELS: readonly number[] = [0.025, 0.1, 0.5, 0.9, 0.975, 0.99]

/** Number of quantiles of a forecast step. */
export const LEVELS = 6

/** Value at the nearest rank: sorted[ceil(p n) - 1] (p in 0..1; p = 0 gives the smallest). NaN if empty. `sorted` ascending. */
export function quantileNearestRank(sorted: ArrayLike<number>, p: number): number {
  const n = sorted.length
  if (n === 0) return NaN
  const rank = Math.min(n, Math.max(1, Math.ceil(p * n)))
  return sorted[rank - 1] as number
}

/** Linear interpolation between order statistics (Hyndman and Fan type 7, what R, numpy and Excel do). NaN if empty. `sorted` ascending. */
export function quantileType7(sorted: ArrayLike<number>, p: number): number {
  const n = sorted.length
  if (n === 0) return NaN
  const at = Math.min(1, Math.max(0, p)) * (n - 1)
  const low = Math.floor(at)
  const left = sorted[low] as number
  if (low + 1 >= n) return left
  const right = sorted[low + 1] as number
  return left === right ? left : left + (right - left) * (at - low)
}

/** Ascending copy without the values that are not finite. */
export function sortedFinite(values: ArrayLike<number>): Float64Array {
  const kept = new Float64Array(values.length)
  let n = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    if (Number.isFinite(value)) kept[n++] = value
  }
  return kept.subarray(0, n).sort()
}

/** Median of the finite values; NaN if there are none. */
export const median = (values: ArrayLike<number>): number => quantileType7(sortedFinite(values), 0.5)

/** Median absolute deviation times 1.4826: the standard deviation of normal data, unmoved by outliers. NaN if empty. */
export function medianDeviation(values: ArrayLike<number>): number {
  const sorted = sortedFinite(values)
  const centre = quantileType7(sorted, 0.5)
  for (let i = 0; i < sorted.length; i++) sorted[i] = Math.abs((sorted[i] as number) - centre)
  return 1.4826 * quantileType7(sorted.sort(), 0.5)
}
