import type { DecisionBook, Occasion } from '#core/decisions'
import type { Round, RoundProcessor } from '#core/runtime'

/**
 * The processor of a decision node whose only state is what stands: `decide` is called for every round that is not replayed. A policy that
 * remembers more is a `RoundProcessor` of its own, with a snapshot.
 */
export const decisionRounds = <Bodies>(
  book: DecisionBook<Bodies>,
  decide: (round: Round, at: Occasion) => void | Promise<void>,
): RoundProcessor => ({
  live: () => book.live(),
  async onRound(round, out) {
    if (!round.replayed) await decide(round, { round, out, nowMs: book.nowMs(round) })
  },
  snapshot: () => new Uint8Array(),
  restore: () => undefined,
})
