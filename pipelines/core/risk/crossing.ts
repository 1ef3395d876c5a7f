import { LEVELS, QUANTILE_LEVELS } from '#core/math'

/** Which side of the limit is bad: traffic above a capacity, availability below a promise. */
export type Side = 'above' | 'below'

const LAST = LEVELS - 1
const MEDIAN = 2
const Q90 = 3

/**
 * P(value > limit) from the quantiles q025 q10 q50 q90 q975 q99 at `quantiles[at..at+6)` (ascending).
 * Between two quantiles the logarithm of the tail (of 1 - p above the median, of p below it) is linear in the value;
 * beyond q99 the tail goes on exponentially at the rate between q90 and q99, below q025 at the rate between
 * q025 and q10. In the limit it never rises; any quantile raised within the knots never lowers it (beyond q99 this holds
 * for a shift of all and for q99 itself, since the rate comes from the distance of q90 and q99). 0..1.
 */
export function probabilityAbove(quantiles: ArrayLike<number>, limit: number, at = 0): number {
  if (Number.isNaN(limit)) return NaN
  const q = (level: number) => quantiles[at + level] as number
  if (limit >= q(LAST)) return upperTail(q(LAST), q(LAST) - q(Q90), limit)
  if (limit < q(0)) return 1 - lowerTail(q(0), q(1) - q(0), limit)
  let level = LAST - 1
  while (limit < q(level)) level--
  return survivalBetween(level, q(level), q(level + 1), limit)
}

/** P(value < limit): the mirror image of `probabilityAbove`; a value that stands exactly on the limit is on neither side. */
export function probabilityBelow(quantiles: ArrayLike<number>, limit: number, at = 0): number {
  if (Number.isNaN(limit)) return NaN
  const q = (level: number) => quantiles[at + level] as number
  if (limit > q(LAST)) return 1 - upperTail(q(LAST), q(LAST) - q(Q90), limit)
  if (limit <= q(0)) return lowerTail(q(0), q(1) - q(0), limit)
  let level = 0
  while (limit > q(level + 1)) level++
  return 1 - survivalBetween(level, q(level), q(level + 1), limit)
}

/** P(limit crossed) on the bad side. */
export function probabilityCrossed(quantiles: ArrayLike<number>, limit: number, side: Side, at = 0): number {
  return side === 'above' ? probabilityAbove(quantiles, limit, at) : probabilityBelow(quantiles, limit, at)
}

const p = (level: number): number => QUANTILE_LEVELS[level] as number

function survivalBetween(level: number, left: number, right: number, limit: number): number {
  const share = right > left ? (limit - left) / (right - left) : 0
  const isUpper = level >= MEDIAN
  const from = Math.log(isUpper ? 1 - p(level) : p(level))
  const to = Math.log(isUpper ? 1 - p(level + 1) : p(level + 1))
  const tail = Math.exp(from + share * (to - from))
  return isUpper ? tail : 1 - tail
}

/** 0.01 at q99, falling tenfold over the distance of q90 and q99. */
function upperTail(q99: number, distance: number, limit: number): number {
  const beyond = limit - q99
  if (beyond <= 0) return 1 - p(LAST)
  return distance > 0 ? (1 - p(LAST)) * Math.exp((-Math.LN10 * beyond) / distance) : 0
}

/** 0.025 at q025, falling fourfold over the distance of q025 and q10. */
function lowerTail(q025: number, distance: number, limit: number): number {
  const beyond = q025 - limit
  if (beyond <= 0) return p(0)
  return distance > 0 ? p(0) * Math.exp((-Math.log(4) * beyond) / distance) : 0
}
