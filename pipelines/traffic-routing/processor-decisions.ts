import type { RouteBody } from '#schemas'
import type { Decision, DecisionEvent } from '#core/ports'
import { learnDecision, learnWithdrawal, type ProcessorState, type Wanted } from './processor-state.ts'

/** Which decisions a processor heeds. */
export interface HeedOptions {
  /** Regions that have a processor: a stream given to another would be processed by nobody. */
  regions: readonly string[]
  replayId: string
}

/** Why a decision is not heeded; null if it is. `reject`: it is wrong, rather than not for processors. */
export function objection(
  decision: Decision<RouteBody>,
  { regions, replayId }: HeedOptions,
): { reason: string; reject: boolean } | null {
  const owner = decision.body.region_owner
  if (decision.replay_id !== replayId) return { reason: `replay_id "${decision.replay_id}"`, reject: true }
  // State is not moved for a trial: a canary asks about weights.
  if (decision.mode !== 'apply') return { reason: `mode ${decision.mode}`, reject: false }
  if (owner === '') return { reason: 'no region_owner', reject: false }
  if (!regions.includes(owner)) return { reason: `no processor in region ${owner}`, reject: true }
  return null
}

/** Decisions whose time has not come. */
export type Postponed = Map<string, Wanted & { notBeforeMs: number }>

/**
 * Takes a decision or tombstone in. `region_owner` is placement: it does not fall back when the weights beside it
 * expire, it is superseded or withdrawn.
 */
export function heed(
  state: ProcessorState,
  postponed: Postponed,
  event: DecisionEvent<RouteBody>,
  nowMs: number,
): void {
  const { entity, decision, timestampMs } = event
  postponed.delete(entity)
  if (decision === null) return learnWithdrawal(state, entity, timestampMs)
  const wanted = {
    owner: decision.body.region_owner,
    epoch: decision.epoch,
    decisionId: decision.decision_id,
  }
  if (decision.not_before_ms <= nowMs) learnDecision(state, entity, wanted)
  else postponed.set(entity, { ...wanted, notBeforeMs: decision.not_before_ms })
}

/** Takes in what has become due. */
export function heedDue(state: ProcessorState, postponed: Postponed, nowMs: number): void {
  for (const [stream, { notBeforeMs, ...wanted }] of postponed) {
    if (notBeforeMs > nowMs) continue
    postponed.delete(stream)
    learnDecision(state, stream, wanted)
  }
}
