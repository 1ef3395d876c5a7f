/**
 * Time is a port: live code reads the wall clock, replays and tests move a clock of their own,
 * so the same policy code serves live, backtest and evaluation.
 */
export interface Clock {
  /** Milliseconds since the Unix epoch. */
  nowMs(): number
}

/** The wall clock. */
export const systemClock: Clock = { nowMs: () => Date.now() }

/** A clock that moves only when told to. */
export interface ManualClock extends Clock {
  /** Sets the time, in ms since the Unix epoch. Going back is allowed: tests need it. */
  set(ms: number): void
  /** Moves the time forward by `ms`. */
  advance(ms: number): void
}

/** A manual clock that starts at `startMs` (ms since the Unix epoch). */
export function manualClock(startMs = 0): ManualClock {
  let now = startMs
  return {
    nowMs: () => now,
    set: (ms) => {
      now = ms
    },
    advance: (ms) => {
      now += ms
    },
  }
}
