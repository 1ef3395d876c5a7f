import type { KnownEvent } from './known.ts'
import { type EventShape, knotsOf, positionOf } from './shape.ts'

/** Receives a weight of one column: columns 0 .. knots - 1 are the shape of an event, knots .. 2 knots - 1 what each doubling of their number adds. */
export type Visit = (column: number, weight: number) => void

/** Number of columns of a shape. */
export const columnsOf = (shape: EventShape): number => 2 * knotsOf(shape)

/**
 * Weights of the columns at a time. Events of one kind and scope that are felt together (three matches on a day) act
 * through their mean shape, plus a second shape times log2 of their number. Returns that number.
 */
export function columnWeights(
  shape: EventShape,
  events: readonly KnownEvent[],
  timeMs: number,
  stepMs: number,
  visit: Visit,
): number {
  let together = 0
  for (const event of events) if (!Number.isNaN(positionOf(shape, event, timeMs, stepMs))) together++
  if (together === 0) return 0
  const knots = knotsOf(shape)
  const more = Math.log2(together)
  for (const event of events) {
    const position = positionOf(shape, event, timeMs, stepMs)
    if (Number.isNaN(position)) continue
    const low = Math.min(knots - 1, Math.floor(position))
    const share = position - low
    hat(low, (1 - share) / together, knots, more, visit)
    if (share > 0) hat(low + 1, share / together, knots, more, visit)
  }
  return together
}

function hat(knot: number, weight: number, knots: number, more: number, visit: Visit): void {
  visit(knot, weight)
  if (more > 0) visit(knots + knot, more * weight)
}
