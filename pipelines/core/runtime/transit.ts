/** A merged key takes more memory than its entry in a block. */
const GROWTH = 2
/** What was emitted longer ago than one to two of these has been merged, if not here, then by another worker. */
const PERIOD_MS = 5000

/**
 * Partial aggregates that have left their windows and are not merged yet: they come back, to this worker or to another
 * that has as many partitions, once their transaction has been committed and they have been fetched. Nothing stops them
 * any more, so the bound of the state counts them.
 */
export class Transit {
  #pending = 0
  #recent = 0
  #earlier = 0
  #sinceMs = performance.now()

  /** What will be held of them. */
  get bytes(): number {
    const nowMs = performance.now()
    if (nowMs - this.#sinceMs > PERIOD_MS) {
      this.#pending = Math.min(this.#pending, this.#recent + this.#earlier)
      this.#earlier = this.#recent
      this.#recent = 0
      this.#sinceMs = nowMs
    }
    return this.#pending * GROWTH
  }

  emitted(bytes: number): void {
    this.#pending += bytes
    this.#recent += bytes
  }

  merged(bytes: number): void {
    this.#pending = Math.max(0, this.#pending - bytes)
  }

  /** What was emitted is undone. */
  clear(): void {
    this.#pending = 0
  }
}
