/** First fit worth the name after this many values, then at every doubling until the schedule takes over. */
export const FIRST_FIT = 12
/** Before it little but the scale and the size of a step is learnt, at the second value and then at about every half more. */
export const FIRST_LOOK = 2

/** The number of values of the next early fit, after the one planned at `next` and more than `values`. */
export function nextEarlyFit(next: number, values: number): number {
  let planned = next
  while (values >= planned) planned = planned < FIRST_FIT ? Math.ceil(1.5 * planned) : 2 * planned
  return planned
}

/** Steps that count as one more observation of "a step may be as large as the prior says". */
const PRIOR_STEPS = 1

/**
 * Standard deviation of one step (warped) as far as a history shows it: the mean square of its changes between neighbours, to which the prior counts as
 * one more. A series of one value has the prior; one of twelve quiet values is believed to be quiet, but not wholly.
 */
export function stepSpread(warped: ArrayLike<number>, prior: number): number {
  let sum = PRIOR_STEPS * prior ** 2
  let n = PRIOR_STEPS
  for (let t = 1; t < warped.length; t++) {
    const change = (warped[t] as number) - (warped[t - 1] as number)
    if (Number.isNaN(change)) continue
    sum += change ** 2
    n++
  }
  return Math.min(prior, Math.sqrt(sum / n))
}

/** How many ranges, and how many priors, a series of one value may go beyond its range. */
const RANGES = 1.5
const PRIORS = 4

/** How far (warped) beyond the range it has shown a series of `n` values is thought to go: some ranges, and of the prior as much as they have not refuted. */
export const beyondRange = (range: number, n: number, prior: number): number =>
  RANGES * range + (PRIORS * prior) / n
