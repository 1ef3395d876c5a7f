import type { KnownEvent } from './known.ts'

/** The stretch of time around an event in which it may be felt, cut at knots: the effect is linear between two of them. */
export interface EventShape {
  /** Felt this long before its start, ms; 0: not before. */
  readonly leadMs: number
  /** Felt this long after its end, ms; 0: not after. */
  readonly decayMs: number
  /** Intervals between knots before, during and after the event. */
  readonly cuts: readonly [lead: number, during: number, decay: number]
}

/** Most intervals between knots while an event lasts, and on either side of it. */
const MOST_DURING = 24
const MOST_ASIDE = 6

/** A shape for events of typical length `durationMs` on a grid of `stepMs`. */
export function eventShape(durationMs: number, stepMs: number, leadMs: number, decayMs: number): EventShape {
  const cuts = (spanMs: number, most: number) =>
    spanMs <= 0 ? 0 : Math.max(1, Math.min(most, Math.round(spanMs / stepMs)))
  return {
    leadMs,
    decayMs,
    cuts: [
      cuts(leadMs, MOST_ASIDE),
      cuts(Math.max(durationMs, stepMs), MOST_DURING),
      cuts(decayMs, MOST_ASIDE),
    ],
  }
}

/** Number of knots of a shape. */
export const knotsOf = ({ cuts }: EventShape): number => cuts[0] + cuts[1] + cuts[2] + 1

/**
 * Where a time lies on the knots of an event: 0 .. knots - 1, NaN where the event is not felt. An event shorter than a step
 * counts as one step long, so that a window sees it wherever it falls.
 */
export function positionOf(shape: EventShape, event: KnownEvent, timeMs: number, stepMs: number): number {
  const { leadMs, decayMs, cuts } = shape
  const from = event.validFromMs
  const to = Math.max(event.validToMs, from + stepMs)
  if (timeMs < from - leadMs || timeMs > to + decayMs) return Number.NaN
  if (timeMs < from) return cuts[0] * (1 - (from - timeMs) / leadMs)
  if (timeMs <= to) return cuts[0] + cuts[1] * ((timeMs - from) / (to - from))
  return cuts[0] + cuts[1] + cuts[2] * ((timeMs - to) / decayMs)
}

/** True for the outermost knots of a lead and of a decay: the effect starts and ends at nothing there. */
export const isPinned = (shape: EventShape, knot: number): boolean =>
  (knot === 0 && shape.cuts[0] > 0) || (knot === knotsOf(shape) - 1 && shape.cuts[2] > 0)
