/** Where rows go. */
export interface RowsTarget {
  readonly database: string
  readonly table: string
  /** Columns of the rows, in their order. */
  readonly columns: readonly string[]
}

/** Up to where one partition of the log has been applied at a replica, and which segments take part. */
export interface AppliedState {
  readonly partition: number
  /** Counts the changes of this state: the highest one stands. */
  readonly version: number
  /** Next offset to apply. */
  readonly next: number
  /** Segments whose rows are applied from `next` on. */
  readonly segments: readonly number[]
  /**
   * Segments that are catching up, each with a position of its own. `attempt` is part of the tokens of their rows: a
   * segment that was dropped and comes again must not be taken for applied.
   */
  readonly joining: readonly { readonly segment: number; readonly next: number; readonly attempt: string }[]
}

/** A state as it was stored. */
export interface StoredState extends AppliedState {
  /** Whether the replica may have been restarted since: what was sent after it may be known there and still be lost. */
  readonly hasRestarted?: boolean
}

/**
 * A replica, as the write log needs it. What is stored survives a crash of the replica and of the applier. Methods
 * throw WAREHOUSE_UNAVAILABLE for what may pass and WAREHOUSE_REJECTED for what will not.
 */
export interface ReplicaStore {
  /**
   * Adds rows (RowBinary); the same token again changes nothing, however often. `mayBeKnown`: an earlier process may
   * have sent them before the replica was restarted, so that its memory of tokens is no proof.
   */
  insert(target: RowsTarget, rows: Uint8Array, token: string, mayBeKnown?: boolean): Promise<void>
  /** What stands for each partition of a log; nothing for a new replica. */
  loadApplied(log: string): Promise<readonly StoredState[]>
  /** Keeps `hasRestarted` if it is set. */
  saveApplied(log: string, state: StoredState): Promise<void>
  /** How a statement ended here: '' if well, else the replica's words; null if it has not run. */
  statementOutcome(log: string, id: string): Promise<string | null>
  /** Runs a statement and stores how it ended; a failure of the statement itself is an outcome, not an error. */
  runStatement(log: string, id: string, database: string, statement: string): Promise<string>
}
