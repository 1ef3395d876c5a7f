/** Versions of one ms: far more than states are stored in it, or are under way at once. */
const VERSIONS_PER_MS = 1000

/**
 * The version after which an applier numbers the states that it stores, from the highest one that stands. It is made of
 * the time at which the applier takes over, so that nothing that one before it has under way stands against its own, even
 * if neither has stored anything between two takeovers; where the clocks of two machines differ, what stands counts.
 * This is the only place that decides it: stores take versions as they come.
 */
export const takeoverVersion = (standing: number, nowMs: number): number =>
  Math.max(standing + VERSIONS_PER_MS, nowMs * VERSIONS_PER_MS)
