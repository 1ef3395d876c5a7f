import { isDeepStrictEqual } from 'node:util'
import type { DecisionMode, DecisionReason } from '#schemas'
import type { Decision } from '../ports/index.ts'
import { settleCanary } from './canary.ts'
import { type ChurnBudget, refill, takeToken } from './churn-budget.ts'
import type { Hysteresis, Proposal, Verdict, Why, WriteMode } from './verdict.ts'

/** What `decide` weighs. */
export interface DecideInput<Body> {
  /** The last decision about the entity in the log, expired or not; null: none, or a tombstone. */
  standing: Decision<Body> | null
  /** What the policy wants; null: the default. */
  proposal: Proposal<Body> | null
  nowMs: number
  hysteresis: Hysteresis
  churnBudget: ChurnBudget
  /** Life of a preference; null: placement. */
  lifeMs: number | null
  mode: WriteMode<Body>
  /** Whether two bodies mean the same; deep equality by default. */
  sameBody?: (a: Body, b: Body) => boolean
}

/** True if the decision is in force at `nowMs`: placement always, preferences until they expire. */
export const standsAt = (decision: { expires_at_ms: number | null }, nowMs: number): boolean =>
  decision.expires_at_ms === null || nowMs < decision.expires_at_ms

/**
 * What to write about one entity, if anything. An unchanged decision is renewed once half of its life is over,
 * nothing else is written twice. A change needs a gain, time since the last change (unless the risk is urgent)
 * and a token of the churn budget. A canary is settled before anything else. Pure.
 */
export function decide<Body>(input: DecideInput<Body>): Verdict<Body> {
  const { standing, nowMs, proposal, sameBody = isDeepStrictEqual } = input
  const budget = refill(input.churnBudget, nowMs)
  const live = standing !== null && standsAt(standing, nowMs) ? standing : null
  if (live?.mode === 'canary') return settleCanary(live, input.mode, input.lifeMs, budget, nowMs)
  if (proposal === null) return live === null ? keep('nothing_stands', budget) : withdraw(live, input, budget)
  const mode: DecisionMode = input.mode.kind
  if (live === null) return change('first', null, proposal, mode, input, budget)
  const settledMode: DecisionMode = mode === 'canary' ? 'apply' : mode
  if (!sameBody(live.body, proposal.body)) return change('better', live, proposal, mode, input, budget)
  if (live.mode !== settledMode) return change('mode_changed', live, proposal, mode, input, budget)
  return renewOrKeep('unchanged', live, proposal.reason, budget, nowMs)
}

const keep = <Body>(why: Why, budget: ChurnBudget): Verdict<Body> => ({ action: 'keep', why, budget })

/** A renewal keeps `not_before_ms`, so that field says since when the body has been in force: the last change. */
const isTooSoon = (live: Decision<unknown>, hysteresis: Hysteresis, nowMs: number): boolean =>
  nowMs - live.not_before_ms < hysteresis.minIntervalMs

function withdraw<Body>(live: Decision<Body>, input: DecideInput<Body>, budget: ChurnBudget): Verdict<Body> {
  const { hysteresis, nowMs } = input
  if (isTooSoon(live, hysteresis, nowMs)) return renewOrKeep('too_soon', live, live.reason, budget, nowMs)
  const paid = takeToken(budget, nowMs, false)
  if (paid === null) return renewOrKeep('budget_spent', live, live.reason, budget, nowMs)
  return { action: 'withdraw', why: 'not_wanted', restore: null, budget: paid }
}

function change<Body>(
  why: 'first' | 'better' | 'mode_changed',
  live: Decision<Body> | null,
  proposal: Proposal<Body>,
  mode: DecisionMode,
  input: DecideInput<Body>,
  budget: ChurnBudget,
): Verdict<Body> {
  const { hysteresis, nowMs } = input
  const { cost_now: now, cost_after: after, risk } = proposal.reason
  const stay = { ...proposal.reason, cost_after: now }
  const least = Math.max(hysteresis.minGain * Math.abs(now), hysteresis.minGainAbsolute ?? 0)
  const gains = now - after > 0 && now - after >= least
  if (why !== 'mode_changed' && !gains) return renewOrKeep('gain_too_small', live, stay, budget, nowMs)
  const urgent = risk >= hysteresis.urgentRisk
  if (live !== null && !urgent && isTooSoon(live, hysteresis, nowMs)) {
    return renewOrKeep('too_soon', live, stay, budget, nowMs)
  }
  const paid = takeToken(budget, nowMs, urgent)
  if (paid === null) return renewOrKeep('budget_spent', live, stay, budget, nowMs)
  const canaryShare = input.mode.kind === 'canary' ? input.mode.share : 1
  const { body, reason } = proposal
  return { action: 'emit', why, body, mode, canaryShare, reason, notBeforeMs: nowMs, budget: paid }
}

function renewOrKeep<Body>(
  why: Why,
  live: Decision<Body> | null,
  reason: DecisionReason,
  budget: ChurnBudget,
  nowMs: number,
): Verdict<Body> {
  if (live === null || live.expires_at_ms === null) return keep(why, budget)
  if (nowMs < (live.issued_at_ms + live.expires_at_ms) / 2) return keep(why, budget)
  return {
    action: 'renew',
    why: 'half_of_life',
    body: live.body,
    mode: live.mode,
    canaryShare: live.canary_share,
    reason,
    notBeforeMs: live.not_before_ms,
    budget,
  }
}
