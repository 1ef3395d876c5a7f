/** When a write is acknowledged: in the log, applied by one replica of each segment, or by all. */
export type Acknowledge = 'log' | 'first' | 'all'

/** What an insert has written. */
export interface Written {
  /** Per partition of the log, the offset that a replica must have come to: what a session token holds. */
  readonly positions: ReadonlyMap<number, number>
  /** The same per segment. */
  readonly bySegment: ReadonlyMap<number, number>
}

/** Rows of one insert on their way into the log. */
export interface InsertSink {
  /** Takes pairs (key, row) in RowBinary; resolves when more may come. */
  push(pairs: Uint8Array): Promise<void>
  /**
   * Resolves with what was written once it is acknowledged as asked. Throws
   * REPLICA_LATE if no replica has applied it in time: it is in the log, and will be.
   */
  finish(): Promise<Written>
}

/** Brings inserts and statements into the log of writes and waits for the replicas. */
export interface WriteLog {
  open(insert: {
    readonly database: string
    readonly table: string
    readonly columns: readonly string[]
    /** The client's token of this insert, which its repeat carries too; '' if none. */
    readonly repeatToken: string
    readonly acknowledge: Acknowledge
  }): InsertSink
  /** Sends a statement to every replica in log order; resolves with how it ended on each ('': well). */
  change(statement: string, database: string): Promise<readonly { instance: string; failure: string }[]>
}

/** Which replicas have what was written; replicas are numbers. */
export interface AppliedPositions {
  /** What a read of these segments must have seen of the positions of the log, by segment. */
  needsOf(segments: readonly number[], positions: ReadonlyMap<number, number>): Map<number, number>
  /** Those of `candidates` that have applied each segment as far as needed. */
  freshOf(candidates: readonly number[], needs: ReadonlyMap<number, number>): number[]
  /** Resolves with true once one of `candidates` is fresh, with false at `signal`. */
  untilFresh(
    candidates: readonly number[],
    needs: ReadonlyMap<number, number>,
    signal: AbortSignal,
  ): Promise<boolean>
}
