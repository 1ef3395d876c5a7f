import type { Ack, DecisionMode, DecisionReason } from '#schemas'
import type { Decision } from '../ports/index.ts'
import type { ChurnBudget } from './churn-budget.ts'

/** What a policy would like to stand. */
export interface Proposal<Body> {
  body: Body
  /** `cost_now`: of leaving what stands; `cost_after`: of the proposal, its churn included. */
  reason: DecisionReason
}

/** When a change is worth making. */
export interface Hysteresis {
  /** Least saving, as a share of `cost_now` (0.05 = 5 %). */
  minGain: number
  /** Least saving in the unit of the costs; 0 by default. */
  minGainAbsolute?: number
  /** Least time since the last change of the same entity. */
  minIntervalMs: number
  /** At this risk or above, `minIntervalMs` does not hold a change up. */
  urgentRisk: number
}

/** A canary: a share of the followers first, then all or none of them, on what they report. */
export interface CanaryMode<Body> {
  kind: 'canary'
  /** Share of followers, above 0, at most 1. */
  share: number
  /** Least time a canary runs before it is promoted. */
  minMs: number
  /** After this time without enough reports it is withdrawn. Keep it below half of the life: what the others hold is not renewed meanwhile. */
  timeoutMs: number
  /** Followers that must have applied it. */
  minReports: number
  /** Acks seen so far, of any decision. */
  acks: readonly Ack[]
  /** What stood before the canary: it stands again for all if the canary is withdrawn. Null: the default. */
  baseline: Decision<Body> | null
}

/** How decisions are to be written. */
export type WriteMode<Body> = { kind: 'dry_run' } | { kind: 'apply' } | CanaryMode<Body>

/** Why a verdict came out as it did: a word for metrics and for `explain`. */
export type Why =
  | 'first'
  | 'better'
  | 'mode_changed'
  | 'unchanged'
  | 'half_of_life'
  | 'gain_too_small'
  | 'too_soon'
  | 'budget_spent'
  | 'nothing_stands'
  | 'not_wanted'
  | 'canary_running'
  | 'canary_passed'
  | 'canary_failed'
  | 'canary_silent'

/** What is to be written; `budget` is the churn budget afterwards. */
export type Verdict<Body> = { why: Why; budget: ChurnBudget } & (
  | { action: 'keep' }
  | {
      /** A new record: `renew` has the body that stands and keeps its `not_before_ms`. */
      action: 'emit' | 'renew'
      body: Body
      mode: DecisionMode
      canaryShare: number
      reason: DecisionReason
      notBeforeMs: number
    }
  /** A tombstone, or where `restore` is set, that decision's body again. */
  | { action: 'withdraw'; restore: Decision<Body> | null }
)
