/** Price of a copy in steps at 1 % more than the mean: below it a plan that moves less is as good. */
export const COPY_PRICE = 0.02
const EVEN = 1.05
const WORST = 1

/** What a step costs: imbalance (largest load over the mean) beyond 1.05, at most 1 so that one accident does not decide, and copies. */
export const stepCost = (ratio: number, copies: number): number =>
  Math.min(WORST, Math.max(0, ratio - EVEN)) + COPY_PRICE * copies

/** All work of a step. */
export function totalWork(work: Float64Array): number {
  let total = 0
  for (const w of work) total += w
  return total
}
