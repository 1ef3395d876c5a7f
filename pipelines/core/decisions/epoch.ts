/**
 * The epoch of the next decision about an entity: max(previous + 1, `issuedAtMs`). It never falls back,
 * not even when the previous decision and its tombstone are gone from the log: time has moved on.
 * `previous`: the highest epoch known, 0 if none.
 */
export const nextEpoch = (previous: number, issuedAtMs: number): number =>
  Math.max(previous + 1, Math.floor(issuedAtMs))
