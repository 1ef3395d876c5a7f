/**
 * What a value adds to what was expected: (1 - phi B)(1 - B^m) / (1 - theta B^m), the innovations of a seasonal level with
 * exponential memory and short-run persistence. A linear filter, so regressors pass through it like the series
 * (regression with ARIMA errors: Box, Jenkins, Reinsel, ch. 9).
 */
export interface Whitening {
  /** Lag in steps: a season, or 1 for a level without season. */
  readonly lag: number
  readonly phi: number
  /** Share of the expected value that stays when a new one comes, 0..1. */
  readonly theta: number
}

const PHIS = [0, 0.4, 0.7, 0.9]
const THETAS = [0.5, 0.8]

/** Steps at the start that the filter cannot judge. */
export const warmUp = ({ lag }: Whitening): number => lag + 1

/** Writes the innovations of `values` (no gaps) to `out`; the first `warmUp` are 0. */
export function whiten(values: ArrayLike<number>, { lag, phi, theta }: Whitening, out: Float64Array): void {
  const expected = Float64Array.from({ length: lag }, (_, i) => values[i] ?? 0)
  let before = 0
  out.fill(0, 0, Math.min(out.length, lag + 1))
  for (let t = lag; t < values.length; t++) {
    const at = t % lag
    const value = values[t] as number
    const departure = value - (expected[at] as number)
    expected[at] = (expected[at] as number) + (1 - theta) * departure
    if (t > lag) out[t] = departure - phi * before
    before = departure
  }
}

/** The filter with the least mean absolute innovation where `isUsed`; with less than 2.5 seasons a plain level. */
export function chooseWhitening(
  values: Float64Array,
  season: number,
  isUsed: (t: number) => boolean,
): Whitening {
  if (season < 2 || values.length < 2.5 * season) return { lag: 1, phi: 0, theta: 0.5 }
  const out = new Float64Array(values.length)
  let best: Whitening = { lag: season, phi: 0.7, theta: 0.5 }
  let least = Number.POSITIVE_INFINITY
  for (const phi of PHIS) {
    for (const theta of THETAS) {
      const candidate = { lag: season, phi, theta }
      whiten(values, candidate, out)
      let sum = 0
      for (let t = season + 1; t < out.length; t++) if (isUsed(t)) sum += Math.abs(out[t] as number)
      if (sum < least) {
        least = sum
        best = candidate
      }
    }
  }
  return best
}
