const DAY_MS = 86_400_000
const WEEK_MS = 7 * DAY_MS
/** Standard deviation of the level of a day of a kind never seen, in spreads of the series; chosen on other data than the scored (docs/design/forecasting.md). */
const UNSEEN_LEVEL = 0.8
/** The largest spread that counts here on the log scale: that of a series of zeros and hundreds is several. */
export const MOST_LOG_SPREAD = 1

/** The epoch began on a Thursday; days are those of UTC. */
const FIRST_SATURDAY_MS = 2 * DAY_MS

const isWeekend = (timeMs: number): boolean =>
  (((timeMs - FIRST_SATURDAY_MS) % WEEK_MS) + WEEK_MS) % WEEK_MS < 2 * DAY_MS

/** True if a history of `held` steps knows every day of the week: nothing is in doubt then. */
export const knowsWeek = (stepMs: number, held: number): boolean =>
  stepMs >= DAY_MS || held * stepMs >= WEEK_MS

/**
 * What a history of less than a week cannot know: the level of a weekend after working days only, or of a working day after a weekend. The standard
 * deviation, in spreads of the series, of that unknown level h steps ahead: it grows with the root of the reach up to a day, and shrinks
 * as 1 / (1 + days of the kind seen). 0 where the same day of the week before is known, and where the history (`held` steps that end at
 * `lastMs`) has no other kind of day than the one ahead.
 */
export function dayTypeDoubt(lastMs: number, stepMs: number, held: number, h: number): number {
  const firstMs = lastMs - held * stepMs
  const endMs = lastMs + h * stepMs
  if (knowsWeek(stepMs, held) || endMs - WEEK_MS > firstMs) return 0
  const alike = daysOf(isWeekend(endMs - stepMs / 2), firstMs, lastMs)
  const others = (lastMs - firstMs) / DAY_MS - alike
  // Fractions of days leave some rounding.
  if (!(others > 1e-6)) return 0
  return (UNSEEN_LEVEL / (1 + alike)) * Math.sqrt(Math.min(1, (h * stepMs) / DAY_MS))
}

/** Days of a kind between two times, with fractions. */
function daysOf(weekend: boolean, fromMs: number, toMs: number): number {
  const weekends = (weekendsUntil(toMs) - weekendsUntil(fromMs)) / DAY_MS
  return weekend ? weekends : (toMs - fromMs) / DAY_MS - weekends
}

/** Milliseconds of weekends from the first one after the epoch until `timeMs`. */
function weekendsUntil(timeMs: number): number {
  const since = timeMs - FIRST_SATURDAY_MS
  const weeks = Math.floor(since / WEEK_MS)
  return 2 * DAY_MS * weeks + Math.min(2 * DAY_MS, since - weeks * WEEK_MS)
}
