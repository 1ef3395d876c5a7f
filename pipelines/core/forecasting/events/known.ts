/** An event of the calendar as forecasting needs it; the times are those of the CalendarEvent record. */
export interface KnownEvent {
  readonly id: string
  /** Higher supersedes. */
  readonly revision: number
  readonly kind: string
  /** Entity, prefix of entities (`ATLAng>*`) or `*`. */
  readonly scope: string
  readonly summary: string
  /** When this revision became known: nothing may look at it earlier. */
  readonly issuedAtMs: number
  readonly validFromMs: number
  readonly validToMs: number
  /** 0..1. */
  readonly severity: number
  readonly cancelled: boolean
}

/**
 * What was known at `atMs`: the newest revision issued by then of each event, cancelled ones left out, in order of
 * start. An event or a revision issued later changes nothing.
 */
export function eventsKnownAt(events: Iterable<KnownEvent>, atMs: number): KnownEvent[] {
  const newest = new Map<string, KnownEvent>()
  for (const event of events) {
    if (event.issuedAtMs > atMs) continue
    const held = newest.get(event.id)
    if (held === undefined || isNewer(event, held)) newest.set(event.id, event)
  }
  return [...newest.values()]
    .filter((event) => !event.cancelled && event.validToMs >= event.validFromMs)
    .sort((a, b) => a.validFromMs - b.validFromMs || (a.id < b.id ? -1 : 1))
}

/** True if a scope (`*`, `prefix*` or a name) covers an entity. */
export function coversEntity(scope: string, entity: string): boolean {
  return scope.endsWith('*') ? entity.startsWith(scope.slice(0, -1)) : scope === entity
}

const isNewer = (event: KnownEvent, held: KnownEvent): boolean =>
  event.revision > held.revision || (event.revision === held.revision && event.issuedAtMs > held.issuedAtMs)
