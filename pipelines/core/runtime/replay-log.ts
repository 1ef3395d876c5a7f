/** Where a replay may begin, and what the world was like there. */
export interface ReplayPoint<State> {
  readonly offset: number
  readonly state: State
}

/**
 * The first offset that went into each slice of event time, and what the task knew of time then. Sessions need more than
 * the watermark of the commit: some of their slices closed before it, and what was too late for those must be so again.
 * A replay that begins with the time of then goes through the same decisions.
 */
export class ReplayLog<State> {
  readonly #points = new Map<number, ReplayPoint<State>>()

  /** Number of slices known. */
  get size(): number {
    return this.#points.size
  }

  /** True if something of this slice has been seen. */
  has(startMs: number): boolean {
    return this.#points.has(startMs)
  }

  /** The first record of a slice comes. */
  begin(startMs: number, offset: number, state: State): void {
    this.#points.set(startMs, { offset, state })
  }

  /** Where slices that begin at `startMs` or later may be replayed from; undefined if there are none. */
  from(startMs: number): ReplayPoint<State> | undefined {
    let first: ReplayPoint<State> | undefined
    for (const [at, point] of this.#points)
      if (at >= startMs && (first === undefined || point.offset < first.offset)) first = point
    return first
  }

  /** Slices that begin before are not needed any more. */
  forget(beforeMs: number): void {
    for (const at of this.#points.keys()) if (at < beforeMs) this.#points.delete(at)
  }
}
