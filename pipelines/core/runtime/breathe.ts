/** Rows that are handled in one turn. A window of a million keys must not hold up heartbeats and the sending of what is out. */
const ROWS_PER_TURN = 4096

/** Lets everything else run, after every so many rows. */
export const breathe = (rows: number): Promise<void> | undefined =>
  rows % ROWS_PER_TURN === 0 ? new Promise((resolve) => setImmediate(resolve)) : undefined
