/** A sharded table, and the condition that picks the rows of the segment that moves. */
export interface SegmentTable {
  readonly database: string
  readonly table: string
  /** SQL over the columns of the table. */
  readonly condition: string
}

/** What a comparison looks at: equal fingerprints mean equal rows, in any order, however often each. */
export interface Fingerprint {
  readonly rows: number
  /** Sum and exclusive or of a 64-bit hash of each row; '' without rows. */
  readonly hash: string
}

/**
 * The tables of an instance, as moves need them. Each call may be repeated after a crash in the middle of it. Methods
 * throw WAREHOUSE_UNAVAILABLE for what may pass and WAREHOUSE_REJECTED for what will not.
 */
export interface SegmentStore {
  /** Fills what was staged with the tables as they are now: hard links, whatever their size. */
  snapshot(name: string, tables: readonly SegmentTable[]): Promise<void>
  /** Empty tables of the same form, under a name. */
  stage(name: string, tables: readonly SegmentTable[]): Promise<void>
  /** Rows of the segment: of the tables themselves, or of those put aside under a name. */
  fingerprint(tables: readonly SegmentTable[], name?: string): Promise<Fingerprint>
  /** Fills what was staged here with the rows of the segment that `source` has put aside under the same name; `signal` breaks it off. */
  copyFrom(
    source: SegmentStore,
    name: string,
    tables: readonly SegmentTable[],
    signal?: AbortSignal,
  ): Promise<void>
  /** Moves what was staged into the tables; what was moved before is not moved again. */
  attach(name: string, tables: readonly SegmentTable[]): Promise<void>
  /** Removes everything under a name. */
  discard(name: string): Promise<void>
  /** Deletes the rows of the segment from the tables. */
  clear(tables: readonly SegmentTable[]): Promise<void>
}
