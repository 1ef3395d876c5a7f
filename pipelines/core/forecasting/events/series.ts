import { LEVELS } from '#core/math'
import { applyForce, type EventEffects, eventForce, withoutEvents } from './effects.ts'
import type { KnownEvent } from './known.ts'

/** A copy of a history (oldest first, NaN = gap, last window ends at `lastMs`) as it would have been without the events. */
export function removeEffects(
  effects: EventEffects,
  events: readonly KnownEvent[],
  values: ArrayLike<number>,
  lastMs: number,
): Float64Array {
  const firstMs = lastMs - (values.length - 1) * effects.stepMs
  return Float64Array.from({ length: values.length }, (_, t) =>
    withoutEvents(effects, events, firstMs + t * effects.stepMs, values[t] as number),
  )
}

/**
 * Adds the effects of events to quantiles (six per step, steps 1..horizon after `lastMs`), in place: medians move, intervals widen by what
 * is not known of the effects. `events`: those known at `lastMs`. `least`: no quantile falls below it.
 */
export function addEffects(
  effects: EventEffects,
  events: readonly KnownEvent[],
  quantiles: Float64Array,
  lastMs: number,
  horizon: number,
  least = Number.NEGATIVE_INFINITY,
): void {
  for (let h = 1; h <= horizon; h++) {
    const force = eventForce(effects, events, lastMs + h * effects.stepMs)
    applyForce(effects.scale, force, quantiles, (h - 1) * LEVELS, least)
  }
}
