import { effectInWords, type EventEffects, type KnownEvent } from '#core/forecasting'
import type { EventEvidence } from '#core/risk'

/** Enough to be named among the drivers: what an event of a known kind does is in the forecast already. */
const NAMED = 0.1

/**
 * The events of the horizon as evidence for a risk. What has been learnt of their kind is said in words; it is in the forecast already, so that
 * only the severity of kinds that nothing is known of raises the odds by itself.
 */
export function eventEvidence(
  effects: EventEffects,
  events: readonly KnownEvent[],
  issuedMs: number,
  horizonMs: number,
): EventEvidence[] {
  return events
    .filter(({ validFromMs, validToMs }) => validFromMs <= issuedMs + horizonMs && validToMs > issuedMs)
    .map((event) => {
      const words = effectInWords(effects, event)
      return {
        kind: event.kind,
        summary: words === undefined ? event.summary : `${event.summary}: ${words}`,
        scope: event.scope,
        issuedAtMs: event.issuedAtMs,
        validFromMs: event.validFromMs,
        validToMs: event.validToMs,
        severity: words === undefined ? event.severity : NAMED,
        cancelled: event.cancelled,
      }
    })
}
