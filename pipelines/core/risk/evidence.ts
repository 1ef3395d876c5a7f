import type { Side } from './crossing.ts'

/** How unusual the last window was (core/forecasting's AnomalyDetector). */
export interface AnomalyEvidence {
  /** 0..1. */
  readonly score: number
  /** 1 above, -1 below, 0 none. */
  readonly direction: number
  /** Which feature. */
  readonly feature: string
}

/** A known event, as in the CalendarEvent record. */
export interface EventEvidence {
  readonly kind: string
  readonly summary: string
  /** Entity, prefix of entities (`ATLAng>*`) or `*`. */
  readonly scope: string
  readonly issuedAtMs: number
  readonly validFromMs: number
  readonly validToMs: number
  /** 0..1. */
  readonly severity: number
  readonly cancelled: boolean
}

/**
 * What evidence beside the forecast adds, in log-odds: an anomaly towards the limit up to 1.5 (odds x 4.5) as its score goes
 * from 0.9 to 1, an event up to 1.5 by its severity. Starting values: the calibration corrects what they get wrong on average.
 */
const EVIDENCE_WEIGHT = 1.5
const ANOMALY_FROM = 0.9

/** Log-odds (>= 0) added by an anomaly that points towards the bad side. */
export function anomalyShift(anomaly: AnomalyEvidence, side: Side): number {
  const isTowards = side === 'above' ? anomaly.direction > 0 : anomaly.direction < 0
  if (!isTowards) return 0
  return EVIDENCE_WEIGHT * Math.max(0, Math.min(1, (anomaly.score - ANOMALY_FROM) / (1 - ANOMALY_FROM)))
}

/** Events that bear on an entity within (issuedAtMs, issuedAtMs + horizonMs]: known by then, not withdrawn, overlapping. Gravest first. */
export function eventsInForce(
  events: readonly EventEvidence[],
  entity: string,
  issuedAtMs: number,
  horizonMs: number,
): EventEvidence[] {
  return events
    .filter(
      (event) =>
        !event.cancelled &&
        event.issuedAtMs <= issuedAtMs &&
        event.validFromMs <= issuedAtMs + horizonMs &&
        event.validToMs > issuedAtMs &&
        scopeMatches(event.scope, entity),
    )
    .sort((a, b) => b.severity - a.severity || a.validFromMs - b.validFromMs)
}

/** Log-odds (>= 0) added by an event. */
export const eventShift = (event: EventEvidence): number =>
  EVIDENCE_WEIGHT * Math.max(0, Math.min(1, event.severity))

/** True if a scope (`*`, `prefix*` or a name) covers an entity. */
export function scopeMatches(scope: string, entity: string): boolean {
  return scope.endsWith('*') ? entity.startsWith(scope.slice(0, -1)) : scope === entity
}
