import type { Random } from '#core/ports'

/** Keys of a query load whose hot set moves, and how many queries come. Time in ms since the load began. */
export interface HotKeys {
  readonly keys: readonly string[]
  /** Draws a key: by Zipf's law over the order of the present phase. */
  draw(atMs: number, random: Random): string
  /** Queries per second: a day's curve. */
  rate(atMs: number): number
  /** Number of the phase: which keys are hot. */
  phase(atMs: number): number
}

/** Settings of a load. */
export interface HotKeysOptions {
  readonly keys: number
  /** Exponent of Zipf's law. */
  readonly alpha: number
  /** How long a hot set stays hot, ms. */
  readonly phaseMs: number
  /** Hot sets, one after another; then the first again. */
  readonly phases: number
  /** Mean of queries per second; the curve goes from half to one and a half of it. */
  readonly queriesPerSecond: number
}

const KEY_DIGITS = 3

/** A load whose day is as long as all its phases together. */
export function createHotKeys(options: HotKeysOptions): HotKeys {
  const { keys: count, alpha, phaseMs, phases, queriesPerSecond } = options
  const keys = Array.from({ length: count }, (_, k) => `c${String(k).padStart(KEY_DIGITS, '0')}`)
  const cumulated = new Float64Array(count)
  let total = 0
  for (let rank = 0; rank < count; rank++) {
    total += (rank + 1) ** -alpha
    cumulated[rank] = total
  }
  const dayMs = phaseMs * phases
  const phase = (atMs: number): number => Math.floor(atMs / phaseMs) % phases
  /** Ranks of a phase begin at another key each: the hot ones of one phase are cold in the next. */
  const shift = Math.floor(count / phases)

  function rankOf(share: number): number {
    const wanted = share * total
    let [low, high] = [0, count - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((cumulated[middle] ?? 0) < wanted) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    keys,
    phase,
    draw(atMs, random) {
      const rank = rankOf(random.uniform())
      return keys[(rank + phase(atMs) * shift) % count] ?? ''
    },
    rate: (atMs) => queriesPerSecond * (1 - 0.5 * Math.cos((2 * Math.PI * atMs) / dayMs)),
  }
}
