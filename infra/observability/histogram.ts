/** What a histogram has counted, each only growing. */
export interface HistogramCounts {
  /** Upper bounds of the buckets, ascending; what is above the last one is in none. */
  readonly bounds: readonly number[]
  /** Observations at or below each bound and above the one before. */
  readonly counts: ArrayLike<number>
  readonly count: number
  readonly sum: number
}

/** Counts observations by size; nothing is allocated for one. */
export interface Histogram {
  observe(value: number): void
  read(): HistogramCounts
}

/** From half a millisecond to half a minute, in seconds. */
const LATENCY_BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]

/** A histogram; without bounds, of latencies in seconds. */
export function createHistogram(bounds: readonly number[] = LATENCY_BOUNDS): Histogram {
  const counts = new Float64Array(bounds.length)
  let count = 0
  let sum = 0
  return {
    observe(value) {
      count++
      sum += value
      for (let i = 0; i < bounds.length; i++) {
        if (value > (bounds[i] as number)) continue
        counts[i] = (counts[i] as number) + 1
        return
      }
    },
    read: () => ({ bounds, counts, count, sum }),
  }
}
