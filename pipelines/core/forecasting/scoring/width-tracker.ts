import type { ByteReader, ByteWriter } from '#core/math'

/** Share of outcomes that the interval q025..q975 promises. */
const PROMISED = 0.95
/** Outcomes whose mean says how far coverage has drifted; small, so that a sudden change shows within some dozens. */
const MEMORY = 25
/** Standard deviation of the share inside among the last `MEMORY`, were the promise kept. */
const NOISE = Math.sqrt((PROMISED * (1 - PROMISED)) / (2 * MEMORY))
/** Drift, in such deviations, below which the width follows slowly. */
const TOLERATED = 1.5
/** Step of the logarithm of the factor per outcome: while coverage holds, and while it has drifted far. */
const SLOW = 0.02
const FAST = 0.3
const DRIFT_IS_FAR = 4
/** What stays per outcome of a factor above 1 while coverage is above its promise: the model below learns the new spread too, and then needs no help. */
const RETURN = 1 - 1 / 40
/** Hits in a row of which one row in twenty is as long when the promise is kept: from here on the width shrinks by this much per hit. */
const LONG_RUN = 60
const SHRINK = 0.02
const MOST = Math.log(100)

/**
 * Keeps the promise of an interval: a factor on its width that follows what has come true (adaptive conformal inference:
 * Gibbs and Candes 2021, on the logarithm of the width, so that it may grow a hundredfold). Each miss adds step * 0.95, each
 * hit takes step * 0.05 away, so that in the long run misses are 5 %; the step grows with the drift of the
 * recent share of hits. O(1) per outcome, three numbers of state.
 */
export class WidthTracker {
  #logFactor = 0
  #coverage = PROMISED
  #seen = 0
  /** Hits since the last miss. */
  #run = 0

  /** Multiply the distance of every quantile from the median by this. */
  get factor(): number {
    return Math.exp(this.#logFactor)
  }

  /** Share of recent outcomes inside the intervals as issued. */
  get coverage(): number {
    return this.#coverage
  }

  /** Outcomes seen. */
  get seen(): number {
    return this.#seen
  }

  /** An outcome of an interval that was issued with the factor of its time. */
  observe(isInside: boolean): void {
    this.#seen++
    this.#coverage += ((isInside ? 1 : 0) - this.#coverage) / MEMORY
    const drift = Math.abs(this.#coverage - PROMISED) / NOISE
    const far = Math.max(0, Math.min(1, (drift - TOLERATED) / (DRIFT_IS_FAR - TOLERATED)))
    const step = SLOW + (FAST - SLOW) * (this.#coverage < PROMISED ? far : far / 4)
    this.#run = isInside ? this.#run + 1 : 0
    if (this.#run > LONG_RUN) this.#logFactor -= SHRINK
    const moved = this.#logFactor + step * (isInside ? PROMISED - 1 : PROMISED)
    const isWide = this.#logFactor > 0 && this.#coverage > PROMISED
    this.#logFactor = Math.max(-MOST, Math.min(MOST, isWide ? moved * RETURN : moved))
  }

  encode(writer: ByteWriter): void {
    writer.f64(this.#logFactor)
    writer.f64(this.#coverage)
    writer.varint(this.#seen)
    writer.varint(this.#run)
  }

  decode(reader: ByteReader): void {
    this.#logFactor = reader.f64()
    this.#coverage = reader.f64()
    this.#seen = reader.varint()
    this.#run = reader.varint()
  }
}
