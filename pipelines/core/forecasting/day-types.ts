const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/**
 * Standard deviation of the level of a day of a kind never seen, in spreads of the series, and the most of it on the log scale (a series of zeros and
 * hundreds has a spread of several). Chosen on other data than the scored (docs/design/forecasting.md).
 */
const UNSEEN_LEVEL = 0.8
export const MOST_LOG_SPREAD = 1

/** The day (UTC, counted from the epoch) that most of the window ending at `endMs` lies in. */
const dayOf = (endMs: number, stepMs: number): number => Math.floor((endMs - stepMs / 2) / DAY_MS)

/** Day 0 of the epoch was a Thursday. */
function isWeekend(day: number): boolean {
  const sinceSunday = (((day + 4) % 7) + 7) % 7
  return sinceSunday === 0 || sinceSunday === 6
}

/**
 * What a history of less than a week cannot know: the level of a weekend after working days only, or of a working day after a weekend. Writes to
 * `out[h - 1]` the standard deviation, in spreads of the series, of that unknown level at step h: it grows with the root of the reach up to a day,
 * and shrinks as 1 / (1 + days of the kind seen). 0 where the same day of the week before is known, and everywhere if the history
 * (`held` steps that end at `lastMs`) has one kind of day only and the steps ahead have no other. Returns false, and writes nothing, if a week is held.
 */
export function dayTypeDoubt(
  lastMs: number,
  stepMs: number,
  held: number,
  horizon: number,
  out: Float64Array,
): boolean {
  if (stepMs >= DAY_MS || held * stepMs >= WEEK_MS) return false
  const firstMs = lastMs - held * stepMs
  let before = Number.NaN
  let doubt = 0
  for (let h = 1; h <= horizon; h++) {
    const endMs = lastMs + h * stepMs
    const day = dayOf(endMs, stepMs)
    if (day !== before) {
      const alike = daysOf(isWeekend(day), firstMs, lastMs)
      const others = (lastMs - firstMs) / DAY_MS - alike
      doubt = others > 0 ? UNSEEN_LEVEL / (1 + alike) : 0
      before = day
    }
    const isSeen = endMs - WEEK_MS > firstMs
    out[h - 1] = isSeen ? 0 : doubt * Math.sqrt(Math.min(1, (h * stepMs) / DAY_MS))
  }
  return true
}

/** Days of a kind between two times, with fractions. */
function daysOf(weekend: boolean, fromMs: number, toMs: number): number {
  let sum = 0
  for (let day = Math.floor(fromMs / DAY_MS); day * DAY_MS < toMs; day++) {
    if (isWeekend(day) === weekend) sum += Math.min(toMs, (day + 1) * DAY_MS) - Math.max(fromMs, day * DAY_MS)
  }
  return sum / DAY_MS
}
