import { canaryPosition, type Decision } from '../ports/index.ts'

/** Whether decisions of a topic fall back by themselves: preferences do, placement never. */
export type DecisionKind = 'preference' | 'placement'

/** What a follower knows when a decision comes in. */
export interface AdmissionContext {
  /** The record key: what the decision must be about. */
  entity: string
  /** Highest epoch met, 0 if none, and the decision that had it. */
  lastEpoch: number
  lastId: string | null
  nowMs: number
  kind: DecisionKind
  /** '' for live. */
  replayId: string
  /** Identity by which canaries choose. */
  canaryKey: string
}

/** What to do with a decision. */
export type Admission =
  | { verdict: 'repeat' | 'dry_run' | 'outside_canary' | 'expired' | 'apply' }
  | { verdict: 'wait'; untilMs: number }
  | { verdict: 'refuse'; reason: string }

/** True once a preference has run out; placement never does. */
export const hasExpired = (decision: Decision<unknown>, kind: DecisionKind, nowMs: number): boolean =>
  kind === 'preference' && decision.expires_at_ms !== null && nowMs >= decision.expires_at_ms

/** Checks a decision: whose it is, its epoch, its mode, its time. Pure. */
export function admit(decision: Decision<unknown>, context: AdmissionContext): Admission {
  const refusal = refusalOf(decision, context)
  if (refusal !== null) return refusal
  if (decision.mode === 'dry_run') return { verdict: 'dry_run' }
  const position = canaryPosition(context.canaryKey, context.entity)
  if (decision.mode === 'canary' && position >= decision.canary_share) return { verdict: 'outside_canary' }
  if (hasExpired(decision, context.kind, context.nowMs)) return { verdict: 'expired' }
  if (decision.not_before_ms > context.nowMs) return { verdict: 'wait', untilMs: decision.not_before_ms }
  return { verdict: 'apply' }
}

function refusalOf(decision: Decision<unknown>, context: AdmissionContext): Admission | null {
  const { entity, lastEpoch, lastId, replayId } = context
  if (decision.replay_id !== replayId) {
    const want = replayId === '' ? 'live decisions' : `replay ${replayId}`
    return {
      verdict: 'refuse',
      reason: `replay_id "${decision.replay_id}": this follower takes ${want} only`,
    }
  }
  if (decision.entity !== entity) {
    return {
      verdict: 'refuse',
      reason: `the record key is ${entity}, the decision is about ${decision.entity}`,
    }
  }
  if (decision.epoch === lastEpoch && decision.decision_id === lastId) return { verdict: 'repeat' }
  if (decision.epoch <= lastEpoch) {
    return { verdict: 'refuse', reason: `epoch ${decision.epoch} is not above ${lastEpoch}` }
  }
  return null
}
