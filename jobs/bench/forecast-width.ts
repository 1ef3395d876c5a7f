import { sorted, nearestRank } from '#core/evaluation'
import { LEVELS } from '#core/forecasting'
import type { Split } from './forecast-data.ts'

/** Fewest series whose last stretch says how wide the intervals of a set should be. */
const FEWEST_SERIES = 12
/** As many series more count for "as wide as they are". */
const SERIES_FOR_AS_IS = 20
/** Intervals are narrowed by a part of what they could be: the last stretch may have been a quiet one. */
const NARROWER = 0.5
/** Reaches are taken together in as many parts. */
const PARTS = 3
const LEAST = 0.4
const MOST = 4
const LOW = 0
const MEDIAN = 2
const HIGH = 4

/** A forecast whose outcome is known. */
export interface Judged {
  /** Six per step. */
  readonly quantiles: Float64Array
  /** NaN where unknown. */
  readonly actual: Float64Array
}

/** The training part less its last `horizon` steps, with those as the test part; undefined if too little is left. */
export function lastStretch(
  { key, train, lastMs }: Split,
  horizon: number,
  stepMs: number,
): Split | undefined {
  const end = train.length - horizon
  if (end < Math.max(8, horizon / 2)) return undefined
  return { key, train: train.slice(0, end), test: train.slice(end), lastMs: lastMs - horizon * stepMs }
}

/**
 * How much wider (per step, a factor) the intervals of a set of series should be: the 95 % quantile of how far outcomes of the last stretch of the training
 * parts lay from the median, in widths of the interval on that side. What a short series cannot know of its own errors, many like it do (split conformal
 * over series). 1 where there are too few.
 */
export function widthFactors(judged: readonly Judged[], horizon: number): Float64Array {
  const factors = new Float64Array(horizon).fill(1)
  if (judged.length < FEWEST_SERIES) return factors
  const weight = judged.length / (judged.length + SERIES_FOR_AS_IS)
  const parts = Math.min(PARTS, horizon)
  for (let part = 0; part < parts; part++) {
    const from = Math.floor((part * horizon) / parts)
    const to = Math.floor(((part + 1) * horizon) / parts)
    const far = judged.flatMap((one) => distances(one, from, to))
    if (far.length === 0) continue
    const wanted = Math.max(LEAST, Math.min(MOST, nearestRank(sorted(far), 0.95)))
    factors.fill(wanted ** (wanted < 1 ? NARROWER * weight : weight), from, to)
  }
  return factors
}

/** |outcome - median| over the width of the interval on its side; an interval without width counts as right if it hits. */
function distances({ quantiles, actual }: Judged, from: number, to: number): number[] {
  const found: number[] = []
  for (let h = from; h < Math.min(to, actual.length); h++) {
    const y = actual[h] as number
    if (Number.isNaN(y)) continue
    const middle = quantiles[h * LEVELS + MEDIAN] as number
    const edge = quantiles[h * LEVELS + (y < middle ? LOW : HIGH)] as number
    const width = Math.abs(edge - middle)
    found.push(y === middle ? 0 : width > 0 ? Math.abs(y - middle) / width : MOST)
  }
  return found
}

/** The quantiles with every distance from the median times the factor of its step, none below `least`. */
export function withWidth(quantiles: Float64Array, factors: Float64Array, least: number): Float64Array {
  return quantiles.map((value, at) => {
    const level = at % LEVELS
    const middle = quantiles[at - level + MEDIAN] as number
    if (level === MEDIAN) return value
    return Math.max(
      Math.min(least, middle),
      middle + (value - middle) * (factors[(at - level) / LEVELS] ?? 1),
    )
  })
}
