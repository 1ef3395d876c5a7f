/** What moved, since the start of the worker. Everything that moves has a counter. */
export interface Counters {
  /** Records read, without replayed ones. */
  recordsIn: number
  accepted: number
  late: number
  deadLetters: number
  /** Valid records not wanted, by reason. */
  skipped: Record<string, number>
  /** Records read again after a restart to fill open windows. */
  replayed: number
  /** Windows of a key emitted. */
  windows: number
  rounds: number
  recordsOut: number
  commits: number
  aborts: number
  assignments: number
}

/** All zero. */
export const createCounters = (): Counters => ({
  recordsIn: 0,
  accepted: 0,
  late: 0,
  deadLetters: 0,
  skipped: {},
  replayed: 0,
  windows: 0,
  rounds: 0,
  recordsOut: 0,
  commits: 0,
  aborts: 0,
  assignments: 0,
})
