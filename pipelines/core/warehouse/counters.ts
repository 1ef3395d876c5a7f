/** What moved through a sink since it was created. Everything that moves has a counter. */
export interface SinkCounters {
  /** Kafka records read, of whatever kind. */
  records: number
  /** Rows acknowledged by the warehouse, by table. */
  rows: Record<string, number>
  /** Bytes of those rows, RowBinary. */
  bytes: number
  /** Inserts acknowledged. */
  inserts: number
  /** Time spent in those inserts, ms. */
  insertMs: number
  /** Tries of an insert that failed. */
  insertFailures: number
  /** Records that could not be decoded or do not fit their table. */
  undecodable: number
  /** Records without a value of topics whose table keeps none. */
  tombstonesSkipped: number
  /** Progress marks of the runtime. */
  marks: number
  /** Commits of input offsets. */
  commits: number
  /** Commits refused because the group had moved on. */
  staleGenerations: number
  /** Times that reading was paused because the warehouse did not keep up. */
  pauses: number
  /** Times that the group was joined. */
  assignments: number
  /** Bytes of rows that wait to be acknowledged, now. */
  bufferedBytes: number
}

/** All zero. */
export const createSinkCounters = (): SinkCounters => ({
  records: 0,
  rows: {},
  bytes: 0,
  inserts: 0,
  insertMs: 0,
  insertFailures: 0,
  undecodable: 0,
  tombstonesSkipped: 0,
  marks: 0,
  commits: 0,
  staleGenerations: 0,
  pauses: 0,
  assignments: 0,
  bufferedBytes: 0,
})
