import { mulberry32 } from '#core/ports'

/** What is done to a running system. */
export type FaultKind = 'worker' | 'clickhouse' | 'kafka' | 'freeze'

/** One fault: at `atMs` after the start of the load something ends (or stands still), `downMs` later it goes on. */
export interface Fault {
  readonly atMs: number
  readonly kind: FaultKind
  /** Slot of the worker meant; '' for the other parts. */
  readonly slot: string
  readonly downMs: number
}

/** How a run is made up. */
export interface ChaosPlan {
  readonly seed: number
  readonly slots: readonly string[]
  readonly faults: readonly Fault[]
  /** The load runs for this long, ms. */
  readonly loadMs: number
}

const LEAD_MS = 4000
/** What is killed last has this long to come back while the load still runs. */
const TAIL_MS = 6000
/** Longer than the session timeout of a group member: whoever stood still comes back as a zombie. */
const FREEZE_MS = 13_000

type Mix = readonly (readonly [FaultKind, weight: number])[]
const LONG_MIX: Mix = [
  ['worker', 5],
  ['clickhouse', 2],
  ['kafka', 2],
  ['freeze', 1],
]
const SHORT: readonly FaultKind[] = ['worker', 'kafka', 'clickhouse', 'worker', 'clickhouse', 'worker']

/** One worker, each part killed once or more within a minute. */
export const shortPlan = (seed: number): ChaosPlan => plan(seed, ['w0'], SHORT, 6500, 9000)

/** Two workers that share the partitions, `kills` kills, and workers that stand still and wake up as zombies. */
export function longPlan(seed: number, kills: number): ChaosPlan {
  const random = mulberry32(seed ^ 0x5eed)
  const kinds: FaultKind[] = []
  for (let killed = 0; killed < kills; ) {
    const kind = pick(LONG_MIX, random.uniform())
    kinds.push(kind)
    if (kind !== 'freeze') killed++
  }
  return plan(seed, ['w0', 'w1'], kinds, 2500, 9000)
}

function pick(mix: Mix, u: number): FaultKind {
  let left = u * mix.reduce((sum, [, weight]) => sum + weight, 0)
  for (const [kind, weight] of mix) {
    left -= weight
    if (left < 0) return kind
  }
  return 'worker'
}

function plan(
  seed: number,
  slots: readonly string[],
  kinds: readonly FaultKind[],
  leastGapMs: number,
  mostGapMs: number,
): ChaosPlan {
  const random = mulberry32(seed)
  const between = (least: number, most: number) => Math.round(least + random.uniform() * (most - least))
  let atMs = LEAD_MS
  const faults = shuffled(kinds, () => random.uniform()).map((kind) => {
    atMs += between(leastGapMs, mostGapMs)
    const aimed = kind === 'worker' || kind === 'freeze'
    const slot = aimed ? (slots[random.uint32() % slots.length] ?? '') : ''
    return { atMs, kind, slot, downMs: kind === 'freeze' ? FREEZE_MS : between(0, 2500) }
  })
  return { seed, slots, faults, loadMs: atMs + TAIL_MS }
}

function shuffled<T>(list: readonly T[], uniform: () => number): T[] {
  const result = [...list]
  for (let i = result.length - 1; i > 0; i--) {
    const j = Math.floor(uniform() * (i + 1))
    ;[result[i], result[j]] = [result[j] as T, result[i] as T]
  }
  return result
}
