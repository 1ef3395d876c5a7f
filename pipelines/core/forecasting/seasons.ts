/** A season must explain this share of what shorter seasons and the level leave over, out of sample. */
const LEAST_EXPLAINED = 0.1
/** Cycles that a history must hold for a season to be tested. */
const FEWEST_CYCLES = 3
const DAY_MS = 86_400_000

/** Seasons of a day, a week and a month in steps of `stepMs`, those of at least two whole steps. */
export function calendarSeasons(stepMs: number): number[] {
  return [DAY_MS, 7 * DAY_MS, 30 * DAY_MS]
    .map((length) => length / stepMs)
    .filter((steps) => Number.isInteger(steps) && steps >= 2)
}

/** Cycle lengths tried when nothing says how long a step is: from a minute to a week in the usual units. */
const COMMON = [4, 5, 7, 12, 24, 30, 48, 52, 60, 96, 144, 168, 288, 336, 365, 672, 720, 1008, 1440, 2016]

/**
 * Seasons of a set of series (oldest first, NaN = gap), ascending, at most two. A length counts by the share that the mean course over
 * it, learnt on the first two thirds of a series, explains of the last third; for the middle series. The best length stands, with the divisor of it
 * that explains a good part alone (the day in the week), or else the multiple that explains a part of what is left over.
 * `candidates`: steps, ascending; default: usual lengths.
 */
export function findSeasons(
  series: readonly Float64Array[],
  candidates: readonly number[] = COMMON,
): number[] {
  const sample = series.filter((_, i) => i % Math.ceil(series.length / MOST_SERIES) === 0)
  const rests = sample.map(levelled)
  const gains = new Map(candidates.map((season) => [season, medianGain(rests, season)]))
  const gainOf = (season: number): number => gains.get(season) ?? 0
  const most = Math.max(0, ...gains.values())
  if (most < LEAST_EXPLAINED) return []
  const best = candidates.find((season) => gainOf(season) >= most - NEARLY) as number
  const divisors = candidates.filter((season) => season < best && best % season === 0)
  const inner = divisors.sort((a, b) => gainOf(b) - gainOf(a))[0]
  if (inner !== undefined && gainOf(inner) >= GOOD_PART * most) return [inner, best]
  for (const rest of rests) subtractProfile(rest, best)
  const outer = candidates
    .filter((season) => season > best && season % best === 0)
    .find((season) => medianGain(rests, season) >= LEAST_EXPLAINED)
  return outer === undefined ? [best] : [best, outer]
}

/** Share of the best gain that a divisor must reach alone, and what counts as equal. */
const GOOD_PART = 0.25
const NEARLY = 0.03
const MOST_SERIES = 64

/** Less a moving mean over a long window, so that a trend is not taken for a season. */
function levelled(values: Float64Array): Float64Array {
  const out = new Float64Array(values.length)
  let level = values.find((value) => !Number.isNaN(value)) ?? 0
  const rate = 1 / Math.max(50, values.length / 4)
  for (let t = 0; t < values.length; t++) {
    const value = values[t] as number
    out[t] = value - level
    if (!Number.isNaN(value)) level += rate * (value - level)
  }
  return out
}

function profileOf(values: Float64Array, season: number, to: number): Float64Array {
  const sums = new Float64Array(season)
  const counts = new Float64Array(season)
  for (let t = 0; t < to; t++) {
    const value = values[t] as number
    if (Number.isNaN(value)) continue
    sums[t % season] = (sums[t % season] as number) + value
    counts[t % season] = (counts[t % season] as number) + 1
  }
  return sums.map((sum, phase) => ((counts[phase] as number) > 0 ? sum / (counts[phase] as number) : 0))
}

function subtractProfile(values: Float64Array, season: number): void {
  const profile = profileOf(values, season, values.length)
  for (let t = 0; t < values.length; t++) values[t] = (values[t] as number) - (profile[t % season] as number)
}

/** Share of the squares of the last third that the profile of the first two thirds takes away; middle of the series that are long enough. */
function medianGain(rests: readonly Float64Array[], season: number): number {
  const gains = rests
    .filter((rest) => rest.length >= FEWEST_CYCLES * season)
    .map((rest) => gainOf(rest, season))
  if (gains.length * 2 < rests.length || gains.length === 0) return 0
  return gains.sort((a, b) => a - b)[gains.length >> 1] as number
}

function gainOf(rest: Float64Array, season: number): number {
  const from = Math.floor((rest.length * 2) / 3)
  const profile = profileOf(rest, season, from)
  const middle = profile.reduce((a, b) => a + b, 0) / season
  let before = 0
  let after = 0
  for (let t = from; t < rest.length; t++) {
    const value = rest[t] as number
    if (Number.isNaN(value)) continue
    before += (value - middle) ** 2
    after += (value - (profile[t % season] as number)) ** 2
  }
  return before > 0 ? 1 - after / before : 0
}
