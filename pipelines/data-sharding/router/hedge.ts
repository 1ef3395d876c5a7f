import type { HedgeBudget } from '#core/ports'

/** Settings of a budget for second requests. */
export interface HedgeOptions {
  /** Requests that are not answered within this quantile of what answers take are sent again. Default 0.97. */
  readonly quantile?: number
  /** Most second requests, as a share of all. Default 0.05: more than the quantile needs, so that some are left. */
  readonly share?: number
  /** Most second requests at once. Default 20. */
  readonly burst?: number
}

/** Buckets per doubling of the ratio of elapsed to expected time. */
const RESOLUTION = 8
const LOWEST = 2 ** -6
const BUCKETS = 16 * RESOLUTION
const FADE_EVERY = 2048

/** A budget that has seen nothing yet: it waits for the quantile of what answers took over what was expected. */
export function createHedgeBudget(options: HedgeOptions = {}): HedgeBudget {
  const { quantile = 0.97, share = 0.05, burst = 20 } = options
  const counts = new Float64Array(BUCKETS)
  let total = 0
  let seen = 0
  let tokens = burst

  function ratioAt(q: number): number {
    let left = q * total
    for (let b = 0; b < BUCKETS; b++) {
      left -= counts[b] as number
      if (left <= 0) return LOWEST * 2 ** ((b + 1) / RESOLUTION)
    }
    return LOWEST * 2 ** (BUCKETS / RESOLUTION)
  }

  let ratio = 4
  return {
    delayMs: (expectedMs) => Math.max(1, ratio * expectedMs),
    take() {
      if (tokens < 1) return false
      tokens--
      return true
    },
    note(expectedMs, elapsedMs) {
      tokens = Math.min(burst, tokens + share)
      const at = Math.floor(Math.log2(elapsedMs / Math.max(expectedMs, 0.05) / LOWEST) * RESOLUTION)
      const b = Math.min(BUCKETS - 1, Math.max(0, at))
      counts[b] = (counts[b] as number) + 1
      total++
      if (++seen % 64 === 0) ratio = ratioAt(quantile)
      if (seen % FADE_EVERY !== 0) return
      total = 0
      for (let i = 0; i < BUCKETS; i++) total += counts[i] = (counts[i] as number) / 2
    },
  }
}
