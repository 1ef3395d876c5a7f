import { LEVELS, QUANTILE_LEVELS } from '#core/math'

/** Scores of issued forecasts; null where there is nothing to divide by. */
export interface Scores {
  readonly steps: number
  readonly mase: number | null
  /** Mean pinball loss over the six quantiles, over the scale. */
  readonly pinball: number | null
  readonly coverage95: number | null
  readonly msis: number | null
}

/** Adds up forecasts against what came. */
export interface ScoreSheet {
  /** `quantiles`: six per step from the first; `actual`: values of the same steps, NaN = unknown. */
  add(quantiles: Float64Array, actual: ArrayLike<number>): void
  /** Scores, with the scale that errors are divided by (0 or less: none). */
  result(scale: number): Scores
}

const LOW = 0
const MEDIAN = 2
const HIGH = 4
/** 2 / alpha of the interval score at 95 %. */
const PENALTY = 40

/**
 * The scale of MASE and MSIS: mean absolute error of the seasonal naive over pairs before `until` that are both known. 0
 * if the series is too short or never changes.
 */
export function seasonalScale(values: Float64Array, season: number, until = values.length): number {
  let sum = 0
  let pairs = 0
  for (let t = season; t < until; t++) {
    const change = Math.abs((values[t] as number) - (values[t - season] as number))
    if (Number.isNaN(change)) continue
    sum += change
    pairs++
  }
  return pairs > 0 ? sum / pairs : 0
}

/** An empty sheet. MASE: Hyndman and Koehler 2006; MSIS: Gneiting and Raftery 2007, scaled as in the M4 competition. */
export function scoreSheet(): ScoreSheet {
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
        const at = h * LEVELS
        const low = quantiles[at + LOW] as number
        const high = quantiles[at + HIGH] as number
        steps++
        absolute += Math.abs(y - (quantiles[at + MEDIAN] as number))
        if (y >= low && y <= high) inside++
        interval += high - low + PENALTY * (Math.max(0, low - y) + Math.max(0, y - high))
        for (let level = 0; level < LEVELS; level++) {
          const away = y - (quantiles[at + level] as number)
          const p = QUANTILE_LEVELS[level] as number
          pinball += Math.max(p * away, (p - 1) * away) / LEVELS
        }
      }
    },
    result: (scale) => {
      const scaled = (sum: number) => (steps > 0 && scale > 0 ? sum / steps / scale : null)
      return {
        steps,
        mase: scaled(absolute),
        pinball: scaled(pinball),
        coverage95: steps > 0 ? inside / steps : null,
        msis: scaled(interval),
      }
    },
  }
}
