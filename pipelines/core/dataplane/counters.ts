/** What a follower has done since it started; each only grows. */
export interface FollowerCounters {
  /** Records of the decision topic handed in, tombstones included. */
  received: number
  applied: number
  /** Refused before anything was changed: epoch, replay, or the data plane said no. */
  rejected: number
  /** Failed while being applied; the previous decision was put back. */
  rolledBack: number
  expired: number
  withdrawn: number
  dryRuns: number
  /** Canaries that chose other followers. */
  outsideCanary: number
  /** Delivered again. */
  repeats: number
  /** Replaced by a newer decision before they were applied. */
  superseded: number
  /** Attempts at a data plane that did not answer. */
  unreachable: number
  /** Putting the previous decision or the default back failed. */
  restoreFailures: number
  undecodable: number
  sourceErrors: number
  /** Reports handed to whoever sends them, those that failed included. */
  acks: number
  ackFailures: number
  snapshotWrites: number
  snapshotFailures: number
}

/** All counters at zero. */
export const zeroCounters = (): FollowerCounters => ({
  received: 0,
  applied: 0,
  rejected: 0,
  rolledBack: 0,
  expired: 0,
  withdrawn: 0,
  dryRuns: 0,
  outsideCanary: 0,
  repeats: 0,
  superseded: 0,
  unreachable: 0,
  restoreFailures: 0,
  undecodable: 0,
  sourceErrors: 0,
  acks: 0,
  ackFailures: 0,
  snapshotWrites: 0,
  snapshotFailures: 0,
})
