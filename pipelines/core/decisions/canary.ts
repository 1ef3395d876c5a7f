import type { Ack } from '#schemas'
import type { Decision } from '../ports/index.ts'
import type { ChurnBudget } from './churn-budget.ts'
import type { Verdict, WriteMode } from './verdict.ts'

/** What the followers of a decision report, by its id: the last state of each follower counts. */
function canaryReports(decisionId: string, acks: readonly Ack[]): { applied: number; failed: number } {
  const last = new Map<string, Ack['state']>()
  for (const ack of acks) if (ack.decision_id === decisionId) last.set(ack.follower, ack.state)
  let applied = 0
  let failed = 0
  for (const state of last.values()) {
    if (state === 'applied') applied++
    if (state === 'rejected' || state === 'rolled_back') failed++
  }
  return { applied, failed }
}

/**
 * Promotes, withdraws or leaves a running canary. One follower that failed withdraws it: a canary asks whether
 * the change is safe. Where the mode has been changed meanwhile, `apply` promotes it and `dry_run` withdraws it.
 */
export function settleCanary<Body>(
  live: Decision<Body>,
  mode: WriteMode<Body>,
  lifeMs: number | null,
  budget: ChurnBudget,
  nowMs: number,
): Verdict<Body> {
  const promote: Verdict<Body> = {
    action: 'emit',
    why: 'canary_passed',
    body: live.body,
    mode: 'apply',
    canaryShare: 1,
    reason: live.reason,
    notBeforeMs: live.not_before_ms,
    budget,
  }
  if (mode.kind === 'apply') return promote
  if (mode.kind === 'dry_run') return { action: 'withdraw', why: 'mode_changed', restore: null, budget }
  const { applied, failed } = canaryReports(live.decision_id, mode.acks)
  const baselineStands =
    mode.baseline !== null && (lifeMs === null || (mode.baseline.expires_at_ms ?? Infinity) > nowMs)
  const restore = baselineStands ? mode.baseline : null
  const ranMs = nowMs - live.issued_at_ms
  if (failed > 0) return { action: 'withdraw', why: 'canary_failed', restore, budget }
  if (applied >= mode.minReports && ranMs >= mode.minMs) return promote
  if (ranMs >= mode.timeoutMs) return { action: 'withdraw', why: 'canary_silent', restore, budget }
  return { action: 'keep', why: 'canary_running', budget }
}
