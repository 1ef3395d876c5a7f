import type { ByteReader, ByteWriter } from '#core/math'
import { quantileType7, sortedFinite } from '#core/math'

/** Linear, or logarithmic for series that are never negative (errors are then relative). */
export type ScaleKind = 'linear' | 'log'

/** Values further than this many spreads from the centre count as this far: one wild value must not blind a model. */
const CLIP = 30
/** Share of the median that is added before the logarithm, so that zeros are finite. */
const LOG_OFFSET = 0.05
const LARGEST_INPUT = 1e30

/**
 * The way between the unit of a series and model scale, in two stages:
 * *warped* = log(value + offset) or the value itself (errors are kept in this stage: they survive a refit),
 * *model* = (warped - centre) / spread, clipped.
 */
export interface SeriesScale {
  readonly kind: ScaleKind
  /** Centre of the warped values. */
  readonly centre: number
  /** Spread of the warped values; 1 for a constant series. */
  readonly spread: number
  /** Standard deviation (warped) of one step when nothing is known of the errors: a factor of e, or half the size of the values. */
  readonly prior: number
  /** True if the warped value lies outside the clip range: many of these mean that the scale is out of date. */
  isExtreme(warped: number): boolean
  /** Value -> warped; NaN stays NaN. */
  warp(value: number): number
  /** Warped -> value, finite, never negative on the log scale. */
  unwarp(warped: number): number
  toModel(warped: number): number
  fromModel(model: number): number
  encode(writer: ByteWriter): void
}

/** Share of zeros from which counts are taken as they are where that may be chosen. */
const MANY_ZEROS = 0.2

/**
 * The scale that options ask for: the logarithm for what is never negative, if they leave it open. A wide contest takes counts that are often zero as they
 * are: their logarithms are mostly the offset.
 */
export function scaleKindOf(
  values: Float64Array,
  { scale, nonNegative, wide }: { scale: ScaleKind | 'auto'; nonNegative: boolean; wide?: boolean },
): ScaleKind | 'auto' {
  if (scale !== 'auto') return scale
  if (wide === true) {
    let zeros = 0
    let known = 0
    for (const value of values) {
      if (value === 0) zeros++
      if (!Number.isNaN(value)) known++
    }
    if (zeros > MANY_ZEROS * known) return 'linear'
  }
  return nonNegative ? 'log' : scale
}

/** Learns the scale from the finite values of a history. 'auto' takes the logarithm if nothing is negative. */
export function fitScale(values: ArrayLike<number>, kind: ScaleKind | 'auto'): SeriesScale {
  const sorted = sortedFinite(values)
  const isLog = kind === 'log' || (kind === 'auto' && (sorted[0] ?? 0) >= 0)
  const offset = isLog ? logOffset(sorted) : 0
  const warped = isLog ? sorted.map((value) => Math.log(Math.max(0, value) + offset)) : sorted
  const centre = warped.length > 0 ? quantileType7(warped, 0.5) : 0
  return makeScale(isLog ? 'log' : 'linear', offset, centre, spreadOf(warped, centre))
}

/** Reads what `SeriesScale.encode` wrote. */
export function decodeScale(reader: ByteReader): SeriesScale {
  const kind = reader.u8() === 1 ? 'log' : 'linear'
  return makeScale(kind, reader.f64(), reader.f64(), reader.f64())
}

function makeScale(kind: ScaleKind, offset: number, centre: number, spread: number): SeriesScale {
  const isLog = kind === 'log'
  const bounded = (value: number) => Math.max(-LARGEST_INPUT, Math.min(LARGEST_INPUT, value))
  const largestLog = Math.log(LARGEST_INPUT)
  return {
    kind,
    centre,
    spread,
    prior: isLog ? 1 : Math.max(spread, Math.abs(centre) / 2),
    isExtreme: (warped) => Math.abs(warped - centre) > CLIP * spread,
    warp: (value) => (isLog ? Math.log(Math.max(0, bounded(value)) + offset) : bounded(value)),
    unwarp: (warped) =>
      isLog ? Math.max(0, Math.exp(Math.min(largestLog, warped)) - offset) : bounded(warped),
    toModel: (warped) => Math.max(-CLIP, Math.min(CLIP, (warped - centre) / spread)),
    fromModel: (model) => centre + spread * model,
    encode: (writer) => {
      writer.u8(isLog ? 1 : 0)
      for (const value of [offset, centre, spread]) writer.f64(value)
    },
  }
}

/** 5 % of the median of the positive values. */
function logOffset(sorted: Float64Array): number {
  const firstPositive = sorted.findIndex((value) => value > 0)
  if (firstPositive < 0) return 1
  const middle = quantileType7(sorted.subarray(firstPositive), 0.5)
  return Math.max(1e-12, Math.min(LARGEST_INPUT, LOG_OFFSET * middle))
}

/** Standard deviation around the centre, each value held within 10 times the 1 %..99 % range. */
function spreadOf(sorted: Float64Array, centre: number): number {
  if (sorted.length === 0) return 1
  const range = quantileType7(sorted, 0.99) - quantileType7(sorted, 0.01)
  const bound = range > 0 ? 10 * range : Infinity
  let sum = 0
  for (const value of sorted) sum += Math.min(bound, Math.abs(value - centre)) ** 2
  const spread = Math.sqrt(sum / sorted.length)
  const least = 1e-9 * Math.max(1e-3, Math.abs(centre))
  return spread > least && Number.isFinite(spread) ? spread : 1
}
