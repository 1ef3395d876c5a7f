import type { Clock } from '#core/ports'
import { quantiles } from './data-load.ts'

/** Largest load over the mean of all instances, interval by interval. */
export interface BalanceReport {
  readonly p50: number | null
  readonly p99: number | null
}

/** Measures how evenly queries fall on instances, beside how hashing alone would have spread the same ones. */
export interface Balance {
  /** A query was answered by an instance. */
  note(instance: string): void
  /** A query about a key that hashing would have sent to an instance. */
  noteHashed(instance: string): void
  /** Queries that an instance has answered. */
  answered(instance: string): number
  report(): { readonly live: BalanceReport; readonly hashed: BalanceReport; readonly intervals: number }
}

const MOST_INTERVALS = 10_000

/**
 * A measure in intervals of `everyMs`; an interval that has not ended does not count. `present`: how many of the instances
 * there are now, and how many hashing has.
 */
export function createBalance(
  instances: readonly string[],
  everyMs: number,
  clock: Clock,
  present: { readonly live: () => number; readonly hashed: number },
): Balance {
  const live = createSide(instances.length)
  const hashed = createSide(instances.length)
  const numbers = new Map(instances.map((name, i) => [name, i]))
  const answered = new Float64Array(instances.length)
  let endMs = clock.nowMs() + everyMs

  function turn(): void {
    const nowMs = clock.nowMs()
    if (nowMs < endMs) return
    live.close(present.live())
    hashed.close(present.hashed)
    endMs += everyMs * Math.ceil((nowMs - endMs + 1) / everyMs)
  }

  const add = (side: Side, instance: string): void => {
    turn()
    const i = numbers.get(instance)
    if (i !== undefined) side.add(i)
  }

  return {
    note(instance) {
      const i = numbers.get(instance)
      if (i !== undefined) answered[i] = (answered[i] ?? 0) + 1
      add(live, instance)
    },
    answered: (instance) => answered[numbers.get(instance) ?? -1] ?? 0,
    noteHashed: (instance) => add(hashed, instance),
    report: () => ({
      live: quantiles(live.ratios),
      hashed: quantiles(hashed.ratios),
      intervals: live.ratios.length,
    }),
  }
}

interface Side {
  readonly ratios: number[]
  add(instance: number): void
  close(present: number): void
}

function createSide(instances: number): Side {
  const counts = new Float64Array(instances)
  const ratios: number[] = []
  return {
    ratios,
    add: (i) => void (counts[i] = (counts[i] ?? 0) + 1),
    close(present) {
      const sum = counts.reduce((a, b) => a + b, 0)
      if (sum > 0) ratios.push((Math.max(...counts) * present) / sum)
      if (ratios.length > MOST_INTERVALS) ratios.shift()
      counts.fill(0)
    },
  }
}
