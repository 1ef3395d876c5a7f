/** Gaps take the value a season before, or the last one known; 0 if nothing is known. */
export function filledGaps(values: Float64Array, season: number): Float64Array {
  const filled = values.slice()
  let latest = filled.find((value) => !Number.isNaN(value)) ?? 0
  for (let t = 0; t < filled.length; t++) {
    if (Number.isNaN(filled[t])) filled[t] = t >= season ? (filled[t - season] as number) : latest
    latest = filled[t] as number
  }
  return filled
}

/** Level and additive seasonal shapes of a history; profile i starts at the phase of the first value. */
export interface SeasonalProfiles {
  readonly level: number
  readonly profiles: readonly Float64Array[]
}

/** Cycles that count as one more observation of "no deviation from the shorter seasons". */
const SHRINKAGE = 1

/**
 * Mean by phase, season by season, shortest first, each from what the ones before leave over: the hour of the day, then what the hour of the
 * week adds. A phase seen k times keeps k / (k + 1) of its mean when a shorter season explains the rest.
 */
export function seasonalProfiles(values: Float64Array, seasons: readonly number[]): SeasonalProfiles {
  const rest = values.slice()
  let level = 0
  let known = 0
  for (const value of rest) {
    if (Number.isNaN(value)) continue
    level += value
    known++
  }
  level = known > 0 ? level / known : 0
  for (let t = 0; t < rest.length; t++) rest[t] = (rest[t] as number) - level
  const profiles = seasons.map((season, i) => {
    const profile = phaseMeans(rest, season, i === 0 ? 0 : SHRINKAGE)
    for (let t = 0; t < rest.length; t++) rest[t] = (rest[t] as number) - (profile[t % season] as number)
    return profile
  })
  return { level, profiles }
}

function phaseMeans(values: Float64Array, season: number, shrinkage: number): Float64Array {
  const sums = new Float64Array(season)
  const counts = new Float64Array(season)
  for (let t = 0; t < values.length; t++) {
    const value = values[t] as number
    if (Number.isNaN(value)) continue
    const phase = t % season
    sums[phase] = (sums[phase] as number) + value
    counts[phase] = (counts[phase] as number) + 1
  }
  return sums.map((sum, phase) => {
    const weight = (counts[phase] as number) + shrinkage
    return weight > 0 ? sum / weight : 0
  })
}
