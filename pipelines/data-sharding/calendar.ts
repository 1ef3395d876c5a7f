import { eventsKnownAt, type KnownEvent } from '#core/forecasting'
import { segmentOf } from './placement/index.ts'

/** Share of a service's work that an event of severity 1 is taken to bring to each key it names, before it is learnt. */
const ANNOUNCED_SHARE = 0.04

/** True if an event speaks of a service, or of a key of it (`service/key`, `service/*`, a prefix, `*`). */
function keyOf(scope: string, service: string): string | null {
  if (scope === '*' || scope === service || scope === `${service}/*`) return '*'
  return scope.startsWith(`${service}/`) ? scope.slice(service.length + 1) : null
}

const isOn = (event: KnownEvent, startMs: number, endMs: number) =>
  event.validFromMs < endMs && event.validToMs > startMs

/**
 * Work that the calendar announces for a window, by segment, as known at `knownMs`; null: none. Its unit is a guess
 * (`ANNOUNCED_SHARE` of `level` per key): the forecast learns what an announced unit really brings.
 */
export function announcedWork(
  events: readonly KnownEvent[],
  about: { service: string; segments: number; level: number },
  window: { startMs: number; endMs: number; knownMs: number },
): Float64Array | null {
  const { service, segments, level } = about
  let work: Float64Array | null = null
  for (const event of eventsKnownAt(events, window.knownMs)) {
    if (!isOn(event, window.startMs, window.endMs)) continue
    const key = keyOf(event.scope, service)
    if (key === null) continue
    work ??= new Float64Array(segments)
    const amount = (event.severity > 0 ? event.severity : 1) * ANNOUNCED_SHARE * level
    if (key === '*') for (let s = 0; s < segments; s++) work[s]! += amount / segments
    else work[segmentOf(key, segments)]! += amount
  }
  return work
}

/** Names of the events that are on in a window, for people. */
export const eventNames = (
  events: readonly KnownEvent[],
  service: string,
  window: { startMs: number; endMs: number; knownMs: number },
): string[] =>
  eventsKnownAt(events, window.knownMs)
    .filter((event) => isOn(event, window.startMs, window.endMs) && keyOf(event.scope, service) !== null)
    .map(({ kind, summary }) => `${kind}: ${summary}`)

/** By how much a key's queries rise while an event names it: 1 without one. */
export function liftOf(
  events: readonly KnownEvent[],
  service: string,
  entity: string,
  window: { startMs: number; endMs: number; knownMs: number },
): number {
  let lift = 1
  for (const event of eventsKnownAt(events, window.knownMs)) {
    const key = keyOf(event.scope, service)
    if (key === null || !isOn(event, window.startMs, window.endMs)) continue
    if (key === '*' || key === entity) lift *= 1 + (event.severity > 0 ? event.severity : 1)
  }
  return lift
}
