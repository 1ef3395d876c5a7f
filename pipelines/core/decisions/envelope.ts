import type { DecisionInput, DecisionMode, DecisionReason } from '#schemas'
import { type Decision, ForestallError, type Random } from '../ports/index.ts'
import { nextEpoch } from './epoch.ts'

/** What goes into an envelope. */
export interface EnvelopeInput<Body> {
  subsystem: string
  entity: string
  body: Body
  /** The decision that it replaces; null if none stands. */
  previous: Decision<Body> | null
  /** Highest epoch known of the entity where `previous` is not (a tombstone); 0 by default. */
  lastEpoch?: number
  issuedAtMs: number
  /** When it comes into force; `issuedAtMs` by default. A renewal keeps the one of the decision it renews. */
  notBeforeMs?: number
  /** How long a preference stands, from `issuedAtMs`; null: placement, never expires. */
  lifeMs: number | null
  mode: DecisionMode
  /** Share of followers of a canary; 1 otherwise. */
  canaryShare?: number
  /** '' for live. */
  replayId?: string
  reason: DecisionReason
  inputs: readonly DecisionInput[]
  modelVersion: string
  policyVersion: string
  random: Random
}

const hex = (value: number, digits: number): string =>
  Math.floor(value).toString(16).padStart(digits, '0').slice(-digits)

/**
 * A UUID of version 7 (RFC 9562): ids sort by time, and the same time and random state give the same id.
 * `nowMs`: ms since 1970, of which 48 bits are used.
 */
export function decisionId(nowMs: number, random: Random): string {
  const time = hex(Math.max(0, nowMs), 12)
  const randA = hex(random.uint32() & 0xfff, 3)
  const variant = hex(8 | (random.uint32() & 3), 1)
  const randB = hex(random.uint32() & 0xfff, 3)
  const tail = hex(random.uint32(), 8) + hex(random.uint32() & 0xffff, 4)
  return `${time.slice(0, 8)}-${time.slice(8)}-7${randA}-${variant}${randB}-${tail}`
}

function checkReason(entity: string, reason: DecisionReason): void {
  const numbers = {
    risk: reason.risk,
    q10: reason.q10,
    q50: reason.q50,
    q90: reason.q90,
    cost_now: reason.cost_now,
    cost_after: reason.cost_after,
  }
  for (const [name, value] of Object.entries(numbers)) {
    if (!Number.isFinite(value)) {
      throw new ForestallError('RECORD_INVALID', `Decision for ${entity}: reason.${name} is ${value}.`)
    }
  }
  if (reason.risk < 0 || reason.risk > 1) {
    throw new ForestallError(
      'RECORD_INVALID',
      `Decision for ${entity}: reason.risk is ${reason.risk}, not 0..1.`,
    )
  }
}

/**
 * A whole decision, with its id and epoch. Throws RECORD_INVALID for a reason with a number missing
 * (a decision always says what it would cost not to act), a life that is not positive or a share outside 0..1.
 */
export function makeDecision<Body>(input: EnvelopeInput<Body>): Decision<Body> {
  const { entity, issuedAtMs, lifeMs, mode, previous } = input
  checkReason(entity, input.reason)
  const share = mode === 'canary' ? (input.canaryShare ?? 0) : 1
  if (!(share > 0 && share <= 1)) {
    throw new ForestallError(
      'RECORD_INVALID',
      `Decision for ${entity}: canary share ${share} is not in 0..1.`,
    )
  }
  if (lifeMs !== null && !(lifeMs > 0)) {
    throw new ForestallError('RECORD_INVALID', `Decision for ${entity}: life of ${lifeMs} ms.`)
  }
  return {
    decision_id: decisionId(issuedAtMs, input.random),
    subsystem: input.subsystem,
    entity,
    epoch: nextEpoch(Math.max(previous?.epoch ?? 0, input.lastEpoch ?? 0), issuedAtMs),
    issued_at_ms: issuedAtMs,
    not_before_ms: input.notBeforeMs ?? issuedAtMs,
    expires_at_ms: lifeMs === null ? null : issuedAtMs + lifeMs,
    mode,
    canary_share: share,
    replay_id: input.replayId ?? '',
    reason: input.reason,
    inputs: [...input.inputs],
    model_version: input.modelVersion,
    policy_version: input.policyVersion,
    supersedes: previous?.decision_id ?? null,
    body: input.body,
  }
}
