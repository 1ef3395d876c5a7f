import type { DecisionReason, Risk } from '#schemas'

/** What a decision costs, in a unit of the policy's own. */
export interface Costs {
  /** Of leaving what stands. */
  readonly costNow: number
  /** Of the proposal, its churn included. */
  readonly costAfter: number
}

/** A probability within 0..1, whatever rounding made of it. */
export const probability = (risk: number): number => Math.max(0, Math.min(1, risk))

/** The reason that a risk gives; without one, nothing is known yet. */
export const reasonOf = (risk: Risk | undefined, { costNow, costAfter }: Costs): DecisionReason => ({
  risk: probability(risk?.probability ?? 0),
  drivers: risk?.drivers ?? ['no forecast yet'],
  q10: risk?.q10 ?? 0,
  q50: risk?.q50 ?? 0,
  q90: risk?.q90 ?? 0,
  cost_now: costNow,
  cost_after: costAfter,
})
