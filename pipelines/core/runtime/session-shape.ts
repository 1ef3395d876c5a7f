import type { AggregateSpec } from './aggregates.ts'
import { max, min } from './aggregates.ts'
import { AggregatePlan } from './aggregate-columns.ts'
import type { WindowShape } from './window-store.ts'

/**
 * Sessions of an event-time window, all in ms. Records of a key that are at most `gapMs` apart form a chain. A chain
 * whose first and last record are at most `maxLengthMs` apart is one session. A longer one is cut at the multiples of
 * `maxLengthMs` (since 1970): its records in each such stretch are a session. So sessions are a function of the *set* of
 * records, whatever their order and partitions, and what happened long ago does not move the cuts of today.
 */
export interface SessionShape {
  readonly kind: 'session'
  /** Longest time without a record inside a session. */
  readonly gapMs: number
  /** How long after the slice that it belongs to a record is still taken; see `sliceMsOf`. */
  readonly graceMs: number
  /** Longest time between the first and the last record of a session; a multiple of `gapMs`. */
  readonly maxLengthMs: number
}

/** Slices of a gap: more of them close sessions sooner, fewer take less memory and time. */
const MOST_SLICES = 4

/**
 * Length of the slices in which sessions are collected: a quarter of the gap if that is a whole number, else a half or
 * all of it. Records of a key in one slice are never further apart than the gap, and no slice crosses a cut.
 */
export function sliceMsOf({ gapMs }: SessionShape): number {
  let slices = MOST_SLICES
  while (gapMs % slices !== 0) slices /= 2
  return gapMs / slices
}

/** The slices as tumbling windows. */
export function sliceShape(shape: SessionShape): WindowShape {
  const sizeMs = sliceMsOf(shape)
  return { sizeMs, advanceMs: sizeMs, graceMs: shape.graceMs }
}

/** What slices and sessions keep: the aggregates, and behind them the first and the last event time. */
export const slicePlan = (
  aggregates: Readonly<Record<string, AggregateSpec>>,
  timeSlot: number,
): AggregatePlan => new AggregatePlan([...Object.values(aggregates), min(timeSlot), max(timeSlot)])

/** In words, why sessions of this shape cannot be; undefined if they can. */
export function wrongSession({ gapMs, graceMs, maxLengthMs }: SessionShape): string | undefined {
  if (!(Number.isInteger(gapMs) && gapMs > 0)) return `gapMs ${gapMs} must be a positive whole number`
  if (!(graceMs >= 0)) return `graceMs ${graceMs} must not be negative`
  if (!(maxLengthMs > 0 && maxLengthMs % gapMs === 0))
    return `maxLengthMs ${maxLengthMs} must be a multiple of gapMs ${gapMs}`
  return undefined
}
