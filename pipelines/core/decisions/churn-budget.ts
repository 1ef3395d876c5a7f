/**
 * How many changes may still be made, across the entities of one scope: a token bucket as a value, so that a
 * policy stays pure and a replay repeats it.
 */
export interface ChurnBudget {
  /** Most tokens it holds. */
  readonly capacity: number
  /** Tokens it gains per ms. */
  readonly tokensPerMs: number
  /** Tokens left to urgent changes only. */
  readonly reserve: number
  /** Tokens at `atMs`. */
  readonly tokens: number
  readonly atMs: number
}

/** A full budget: `changes` per `intervalMs`, of which `reserve` (default 0) only for urgent changes. */
export function churnBudget(options: {
  changes: number
  intervalMs: number
  reserve?: number
  nowMs: number
}): ChurnBudget {
  const { changes, intervalMs, reserve = 0, nowMs } = options
  return { capacity: changes, tokensPerMs: changes / intervalMs, reserve, tokens: changes, atMs: nowMs }
}

/** The budget at `nowMs`; time that runs back adds nothing. */
export function refill(budget: ChurnBudget, nowMs: number): ChurnBudget {
  const elapsedMs = Math.max(0, nowMs - budget.atMs)
  const tokens = Math.min(budget.capacity, budget.tokens + elapsedMs * budget.tokensPerMs)
  return { ...budget, tokens, atMs: Math.max(budget.atMs, nowMs) }
}

/** Takes one token; null if there is none for this urgency. A hair of rounding is forgiven. */
export function takeToken(budget: ChurnBudget, nowMs: number, urgent: boolean): ChurnBudget | null {
  const now = refill(budget, nowMs)
  const floor = urgent ? 0 : now.reserve
  return now.tokens - 1 >= floor - 1e-9 ? { ...now, tokens: Math.max(0, now.tokens - 1) } : null
}
