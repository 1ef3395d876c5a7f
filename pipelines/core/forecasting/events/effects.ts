import { LEVELS, QUANTILE_LEVELS } from '#core/math'
import { coversEntity, type KnownEvent } from './known.ts'
import type { EventShape } from './shape.ts'
import { columnWeights } from './weights.ts'

/** `log`: effects multiply the value; `linear`: they add to it. */
export type EffectScale = 'log' | 'linear'

/** What the events of one kind and scope did to one series. */
export interface LearntEffect {
  readonly kind: string
  readonly scope: string
  readonly shape: EventShape
  /** Events it was learnt from. */
  readonly occurrences: number
  /** Those of them that moved the series the way the effect says. */
  readonly agreeing: number
  /** Per column (weights.ts): log ratio, or difference in the unit of the series. */
  readonly centre: Float64Array
  /** Standard deviation of each column. */
  readonly spread: Float64Array
  /** By how much more the series surprises while such an event is felt (>= 1). */
  readonly widen: number
}

/** The effects of all kinds on one series. */
export interface EventEffects {
  readonly entity: string
  readonly stepMs: number
  readonly scale: EffectScale
  readonly effects: readonly LearntEffect[]
}

/** What events do at one time: a shift, its standard deviation, and a factor on the width of intervals. */
export interface EventForce {
  readonly centre: number
  readonly spread: number
  readonly widen: number
}

/** Effects of a series for which nothing has been learnt: unknown events only widen its intervals. */
export const noEffects = (entity: string, stepMs: number, scale: EffectScale): EventEffects => ({
  entity,
  stepMs,
  scale,
  effects: [],
})

/** Log ratio by which an event of a kind never seen may move a series, per unit of severity (one standard deviation: a factor of 2 at severity 1). */
const UNKNOWN_SPREAD = Math.LN2
const CALM: EventForce = { centre: 0, spread: 0, widen: 1 }

/**
 * The force of the events at the window of the series that ends at `endMs`. `events` must be those known at the origin
 * (`eventsKnownAt`); those that do not cover the entity are ignored.
 */
export function eventForce(effects: EventEffects, events: readonly KnownEvent[], endMs: number): EventForce {
  if (events.length === 0) return CALM
  const { entity, stepMs } = effects
  const middleMs = endMs - stepMs / 2
  const groups = Map.groupBy(
    events.filter((event) => coversEntity(event.scope, entity)),
    (event) => `${event.kind}\n${event.scope}`,
  )
  let force = CALM
  for (const group of groups.values()) {
    const { kind, scope } = group[0] as KnownEvent
    const learnt =
      effects.effects.find((e) => e.kind === kind && e.scope === scope) ?? sameKind(effects, kind)
    const added = learnt
      ? learntForce(learnt, group, middleMs, stepMs)
      : unknownForce(effects, group, middleMs)
    if (added === undefined) continue
    force = {
      centre: force.centre + added.centre,
      spread: Math.hypot(force.spread, added.spread),
      widen: Math.max(force.widen, added.widen),
    }
  }
  return force
}

/** Of a kind that was only met under another scope: the one with most occurrences, trusted half. */
function sameKind({ effects }: EventEffects, kind: string): LearntEffect | undefined {
  const [most] = effects.filter((e) => e.kind === kind).sort((a, b) => b.occurrences - a.occurrences)
  return most && { ...most, spread: most.spread.map((s, i) => Math.hypot(s, (most.centre[i] as number) / 2)) }
}

function learntForce(
  { shape, centre, spread, widen }: LearntEffect,
  events: readonly KnownEvent[],
  middleMs: number,
  stepMs: number,
): EventForce | undefined {
  let sum = 0
  let variance = 0
  const together = columnWeights(shape, events, middleMs, stepMs, (column, weight) => {
    sum += weight * (centre[column] as number)
    variance += (weight * (spread[column] as number)) ** 2
  })
  return together === 0 ? undefined : { centre: sum, spread: Math.sqrt(variance), widen }
}

function unknownForce(
  { scale, stepMs }: EventEffects,
  events: readonly KnownEvent[],
  middleMs: number,
): EventForce | undefined {
  if (scale !== 'log') return undefined
  let severity = 0
  for (const { validFromMs, validToMs, severity: own } of events) {
    if (middleMs >= validFromMs && middleMs <= Math.max(validToMs, validFromMs + stepMs))
      severity = Math.max(severity, own)
  }
  return severity > 0 ? { centre: 0, spread: UNKNOWN_SPREAD * Math.min(1, severity), widen: 1 } : undefined
}

/** The value of the window that ends at `endMs` as it would have been without the events. NaN stays NaN. */
export function withoutEvents(
  effects: EventEffects,
  events: readonly KnownEvent[],
  endMs: number,
  value: number,
): number {
  const { centre } = eventForce(effects, events, endMs)
  if (centre === 0) return value
  return effects.scale === 'log' ? value * Math.exp(-held(centre)) : value - centre
}

/** Standard normal quantiles of the levels. */
const NORMAL = [-1.96, -1.2816, 0, 1.2816, 1.96, 2.3263]
const MEDIAN = QUANTILE_LEVELS.indexOf(0.5)
/** No effect is believed beyond a factor of e^7. */
const MOST = 7
const held = (centre: number): number => Math.max(-MOST, Math.min(MOST, centre))

/** Moves and widens the six quantiles at `out[at..at + 6)` by a force, in place. `least`: no quantile falls below it. */
export function applyForce(
  scale: EffectScale,
  force: EventForce,
  out: Float64Array,
  at: number,
  least: number,
): void {
  const { spread, widen } = force
  if (force === CALM) return
  const middle = out[at + MEDIAN] as number
  const isLog = scale === 'log' && middle > 0
  const shift = isLog ? held(force.centre) : scale === 'log' ? 0 : force.centre
  for (let level = 0; level < LEVELS; level++) {
    const value = out[at + level] as number
    const own = isLog ? Math.log(Math.max(value, 1e-9 * middle) / middle) : value - middle
    const away = Math.hypot(widen * own, spread * (NORMAL[level] as number))
    const moved = level < MEDIAN ? -away : level === MEDIAN ? 0 : away
    const result = isLog ? middle * Math.exp(shift + Math.min(2 * MOST, moved)) : middle + shift + moved
    out[at + level] = value === 0 && level < MEDIAN && isLog ? 0 : Math.max(least, result)
  }
}
