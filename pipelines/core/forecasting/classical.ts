import { filledGaps } from './profiles.ts'

const LONGEST = 60

/** Seasons of months, weeks of a year, days of a week: histories hold few of them, and a trend counts. */
export const isShortSeason = (season: number): boolean => season <= LONGEST

/** True if a contest over these seasons may be wide: at most one season, a short one. */
export const isWideContest = (seasons: readonly number[]): boolean =>
  seasons.length < 2 && isShortSeason(seasons[0] ?? 1)

/**
 * Additive seasonal means of a history by classical decomposition: the mean by phase of what a centred moving average over one season leaves, less
 * their own mean. Unlike plain means by phase it does not take a trend for a season. Phase 0 is that of the first value; zeros if the
 * history is shorter than two seasons.
 */
export function classicalProfile(values: Float64Array, season: number): Float64Array {
  const profile = new Float64Array(season)
  if (values.length < 2 * season) return profile
  const filled = filledGaps(values, season)
  const counts = new Float64Array(season)
  const half = season >> 1
  const isEven = season % 2 === 0
  let sum = 0
  for (let t = 0; t < season; t++) sum += filled[t] as number
  // The window of an odd season is centred on `t + half`; that of an even one is the mean of two neighbouring windows.
  for (let t = 0; t + season <= filled.length; t++) {
    const next = sum - (filled[t] as number) + (filled[t + season] ?? NaN)
    const level = isEven ? (sum + next) / (2 * season) : sum / season
    const at = t + half
    if (!Number.isNaN(level) && !Number.isNaN(values[at])) {
      profile[at % season] = (profile[at % season] as number) + (filled[at] as number) - level
      counts[at % season] = (counts[at % season] as number) + 1
    }
    sum = next
  }
  let mean = 0
  for (let i = 0; i < season; i++) {
    profile[i] = (profile[i] as number) / Math.max(1, counts[i] as number)
    mean += (profile[i] as number) / season
  }
  for (let i = 0; i < season; i++) profile[i] = (profile[i] as number) - mean
  return profile
}
