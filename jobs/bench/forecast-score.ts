import { LEVELS, QUANTILE_LEVELS } from '#core/forecasting'

const LOW = 0
const MEDIAN = 2
const HIGH = 4
const ALPHA = 0.05

/** How good the forecasts of one series were; divided by its scale where it has a unit. */
export interface Accuracy {
  readonly mase: number
  /** Mean over steps and quantiles. */
  readonly pinball: number
  /** Share of outcomes inside q025..q975. */
  readonly coverage95: number
  readonly msis: number
}

/** Collects forecasts of one series against what happened. */
export interface Scorer {
  /** `quantiles`: six per step; steps whose outcome is NaN do not count. */
  add(quantiles: Float64Array, actual: ArrayLike<number>): void
  result(): Accuracy
}

/**
 * In-sample mean absolute error of the seasonal naive over pairs that are both known: the scale of MASE and MSIS. NaN if the series is
 * too short, 0 if it never changes.
 */
export function seasonalScale(train: Float64Array, season: number): number {
  let sum = 0
  let pairs = 0
  for (let t = season; t < train.length; t++) {
    const change = Math.abs((train[t] as number) - (train[t - season] as number))
    if (Number.isNaN(change)) continue
    sum += change
    pairs++
  }
  return sum / pairs
}

/** A scorer with the given scale (> 0). */
export function createScorer(scale: number): Scorer {
  let steps = 0
  let absolute = 0
  let pinball = 0
  let inside = 0
  let interval = 0
  return {
    add: (quantiles, actual) => {
      for (let h = 0; h < actual.length; h++) {
        const y = actual[h] as number
        if (Number.isNaN(y)) continue
        const q = (level: number) => quantiles[h * LEVELS + level] as number
        const low = q(LOW)
        const high = q(HIGH)
        absolute += Math.abs(y - q(MEDIAN))
        if (y >= low && y <= high) inside++
        interval += high - low + (2 / ALPHA) * (Math.max(0, low - y) + Math.max(0, y - high))
        for (let level = 0; level < LEVELS; level++) {
          const p = QUANTILE_LEVELS[level] as number
          pinball += Math.max(p * (y - q(level)), (p - 1) * (y - q(level))) / LEVELS
        }
        steps++
      }
    },
    result: () => ({
      mase: absolute / steps / scale,
      pinball: pinball / steps / scale,
      coverage95: inside / steps,
      msis: interval / steps / scale,
    }),
  }
}
