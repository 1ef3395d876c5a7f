import { medianDeviation, quantileType7, sortedFinite } from '#core/math'

/** Most points of a seasonal profile. */
const BINS = 48
/** A profile that explains less of the variance than this is no profile. */
const LEAST_EXPLAINED = 0.15

/** The course of a series over a season, and how much of it that explains. */
export interface Profile {
  /** Mean log ratio to the level per part of the season (which begins with the epoch); empty if there is no season to speak of. */
  readonly values: Float64Array
  /** Share of the variance of the logarithm, 0..1. */
  readonly explained: number
}

const NO_PROFILE: Profile = { values: new Float64Array(0), explained: 0 }

/** Logarithms of values that are never negative, with 5 % of the median added; undefined if some are negative or all 0. */
export function logged(values: ArrayLike<number>): Float64Array | undefined {
  const sorted = sortedFinite(values)
  if (sorted.length < 3 || (sorted[0] as number) < 0) return undefined
  const positive = sorted.filter((value) => value > 0)
  if (positive.length === 0) return undefined
  const offset = 0.05 * quantileType7(positive, 0.5)
  return Float64Array.from(values, (value) => Math.log(value + offset))
}

/** The profile over `season` steps of logarithms whose last window ends at `lastMs`. Needs two seasons. */
export function seasonalProfile(logs: Float64Array, lastMs: number, stepMs: number, season: number): Profile {
  if (season < 4 || logs.length < 2 * season) return NO_PROFILE
  const bins = Math.min(BINS, season)
  const sums = new Float64Array(bins)
  const counts = new Float64Array(bins)
  let total = 0
  let square = 0
  let n = 0
  logs.forEach((value, t) => {
    if (Number.isNaN(value)) return
    const bin = Math.floor(phaseOf(lastMs - (logs.length - 0.5 - t) * stepMs, season * stepMs) * bins)
    sums[bin] = (sums[bin] as number) + value
    counts[bin] = (counts[bin] as number) + 1
    total += value
    square += value * value
    n++
  })
  if (n === 0 || counts.some((count) => count === 0)) return NO_PROFILE
  const level = total / n
  const variance = Math.max(0, square / n - level * level)
  let between = 0
  const values = sums.map((sum, bin) => sum / (counts[bin] as number) - level)
  values.forEach((value, bin) => {
    between += ((counts[bin] as number) / n) * value * value
  })
  const explained = variance > 0 ? between / variance : 0
  return explained < LEAST_EXPLAINED ? { ...NO_PROFILE, explained } : { values, explained }
}

/** Where a time lies in a season that begins with the epoch, 0 .. 1. */
export const phaseOf = (timeMs: number, seasonMs: number): number => {
  const phase = (timeMs % seasonMs) / seasonMs
  return phase < 0 ? phase + 1 : phase
}

/** The profile at a time, linear between the middles of its parts; 0 for an empty one. */
export function profileAt(profile: Float64Array, seasonMs: number, middleMs: number): number {
  const bins = profile.length
  if (bins === 0) return 0
  const at = phaseOf(middleMs, seasonMs) * bins - 0.5
  const low = Math.floor(at)
  const share = at - low
  const left = profile[(low + bins) % bins] as number
  const right = profile[(low + 1) % bins] as number
  return left + share * (right - left)
}

/**
 * Scale-free features of a history, all finite: spread, size of a step, persistence, share of the season (`profile`: of the main one), trend, share of zeros,
 * skew. None has a unit, so that a large series and a small one compare.
 */
export function seriesFeatures(values: ArrayLike<number>, profile: Profile): Float64Array {
  const logs = logged(values)
  const used = logs ?? Float64Array.from(values)
  const sorted = sortedFinite(used)
  const spread = quantileType7(sorted, 0.9) - quantileType7(sorted, 0.1)
  const steps: number[] = []
  let persistence = 0
  let power = 0
  const middle = quantileType7(sorted, 0.5)
  for (let t = 1; t < used.length; t++) {
    const now = used[t] as number
    const before = used[t - 1] as number
    if (Number.isNaN(now) || Number.isNaN(before)) continue
    steps.push(now - before)
    persistence += (now - middle) * (before - middle)
    power += (before - middle) ** 2
  }
  const half = used.length >> 1
  const trend =
    quantileType7(sortedFinite(used.subarray(half)), 0.5) -
    quantileType7(sortedFinite(used.subarray(0, half)), 0.5)
  const zeros = Array.from({ length: values.length }, (_, i) => values[i]).filter((v) => v === 0).length
  const skew = quantileType7(sorted, 0.9) + quantileType7(sorted, 0.1) - 2 * middle
  const unit = spread > 0 ? spread : 1
  const features = [
    logs === undefined ? 3 : Math.log1p(spread),
    medianDeviation(steps) / unit,
    power > 0 ? persistence / power : 1,
    profile.explained,
    trend / unit,
    values.length > 0 ? zeros / values.length : 0,
    skew / unit,
  ]
  return Float64Array.from(features, (f) => (Number.isFinite(f) ? Math.max(-5, Math.min(5, f)) : 0))
}

/** Standard deviation of a step as a log ratio, robust; 1 (a factor of e) where logarithms say nothing. */
export function stepSpread(values: ArrayLike<number>): number {
  const logs = logged(values)
  if (logs === undefined || logs.length < 3) return 1
  const spread = medianDeviation(logs.subarray(1).map((value, t) => value - (logs[t] as number)))
  return Number.isFinite(spread) && spread > 0 ? Math.min(3, spread) : 1
}
