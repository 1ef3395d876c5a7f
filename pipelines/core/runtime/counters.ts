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
  /** Of those, what rounds issued (forecasts, risks, decisions), by topic without prefix. */
  roundsOut: Record<string, number>
  commits: number
  /** Time from the beginning of commits to their answers, ms; tasks work on meanwhile. */
  commitMs: number
  aborts: number
  assignments: number
  /** Rebalances in which this worker kept something, and how long no commit could begin, ms: in all, and at most. */
  rebalances: number
  rebalanceMs: number
  longestRebalanceMs: number
  /** Partitions that are not being read now, because output or state is at its bound; and how often that began. */
  pausedPartitions: number
  pauses: number
  /** Longest time that one batch held up everything else in this process (heartbeats, commits), ms. */
  longestBatchMs: number
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
  roundsOut: {},
  commits: 0,
  commitMs: 0,
  aborts: 0,
  assignments: 0,
  rebalances: 0,
  rebalanceMs: 0,
  longestRebalanceMs: 0,
  pausedPartitions: 0,
  pauses: 0,
  longestBatchMs: 0,
})
