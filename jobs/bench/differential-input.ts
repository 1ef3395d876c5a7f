import { mulberry32, type Random } from '#core/ports'
import { partitionOf } from '#core/runtime'

/** A kind of windows; every seed belongs to one. */
export interface Lane {
  readonly name: string
  readonly sizeMs: number
  readonly advanceMs: number
  readonly graceMs: number
  /** Where partial aggregates meet, if partitions do not follow the key. */
  readonly merge?: { readonly topic: string; readonly partitions: number }
  /** After how long a silent partition no longer holds a merge up. Default: never within a run. */
  readonly idleMs?: number
}

/** Tumbling and hopping, with and without grace, steps that divide the size and one that does not. */
export const LANES: readonly Lane[] = [
  { name: 'tumbling', sizeMs: 10_000, advanceMs: 10_000, graceMs: 5000 },
  { name: 'tumbling-no-grace', sizeMs: 10_000, advanceMs: 10_000, graceMs: 0 },
  { name: 'tumbling-odd', sizeMs: 7001, advanceMs: 7001, graceMs: 2999 },
  { name: 'hopping', sizeMs: 10_000, advanceMs: 5000, graceMs: 2000 },
  { name: 'hopping-no-grace', sizeMs: 9000, advanceMs: 3000, graceMs: 0 },
  { name: 'hopping-odd', sizeMs: 10_000, advanceMs: 4000, graceMs: 7000 },
]

/** Every seed has so many partitions of its lane's topic for itself. */
export const PARTITIONS_PER_SEED = 2

/** One record of the input, in the order of its partition. */
export interface Sample {
  /** Among those of its seed: that of the key under Kafka's default partitioner. */
  readonly partition: number
  readonly key: string
  readonly timeMs: number
  readonly value: number
}

/** The lane of a seed. */
export const laneOf = (seed: number): Lane => LANES[seed % LANES.length] as Lane

const BASE_MS = 1_700_000_000_000
const KEY_COUNTS = [1, 10, 300, 3000, 10_000]
const HOT_SHARES = [0, 0.5, 0.9]
/** Values are multiples of this: sums and sums of squares stay exact. */
const GRAIN = 1 / 8

/** What is the same for all records of a seed. */
interface Profile {
  readonly lane: Lane
  readonly records: number
  readonly keys: number
  readonly hotShare: number
  readonly stepMs: number
  /** Share of records with the time of the one before. */
  readonly equalShare: number
  /** Share of records that come late, within grace or beyond. */
  readonly lateShare: number
  readonly gapShare: number
  /** Times are multiples of this, so that many fall on the edges of windows. */
  readonly roundMs: number
}

const pick = <T>(random: Random, from: readonly T[]): T => from[random.uint32() % from.length] as T

function profileOf(seed: number, random: Random): Profile {
  const lane = laneOf(seed)
  const keys = KEY_COUNTS[(seed + Math.floor(seed / LANES.length)) % KEY_COUNTS.length] as number
  const records = 2000 + (random.uint32() % 2000) + (keys >= 3000 ? keys : 0)
  const windows = keys >= 3000 ? 4 : 15
  return {
    lane,
    records,
    keys,
    hotShare: pick(random, HOT_SHARES),
    stepMs: (windows * lane.sizeMs) / records,
    equalShare: pick(random, [0, 0.2, 0.6]),
    lateShare: pick(random, [0.02, 0.2, 0.5]),
    gapShare: pick(random, [0, 2 / records, 8 / records]),
    roundMs: pick(random, [1, 1, 100, 1000]),
  }
}

/** How much earlier than in order a record is: mostly within grace, some just at its limit, some far beyond. */
function lateness({ lane, lateShare }: Profile, random: Random): number {
  if (random.uniform() >= lateShare) return 0
  const kind = random.uniform()
  if (kind < 0.6) return random.uniform() * (lane.graceMs + lane.advanceMs / 2)
  if (kind < 0.8) return lane.graceMs + lane.sizeMs + Math.floor(random.uniform() * 3) - 1
  return random.uniform() * 4 * (lane.graceMs + lane.sizeMs)
}

/** The input of a seed. It ends with a record per partition that is later than the end and grace of all windows. */
export function samplesOf(seed: number): Sample[] {
  const random = mulberry32(seed * 7919 + 1)
  const profile = profileOf(seed, random)
  const { lane, keys, records, hotShare, roundMs } = profile
  const samples: Sample[] = []
  let nowMs = BASE_MS + (random.uint32() % 100_000)
  for (let i = 0; i < records; i++) {
    if (random.uniform() >= profile.equalShare) nowMs += random.uniform() * 2 * profile.stepMs
    if (random.uniform() < profile.gapShare) nowMs += random.uniform() * 10 * lane.sizeMs
    const timeMs = Math.floor((nowMs - lateness(profile, random)) / roundMs) * roundMs
    const key = `s${seed}.k${random.uniform() < hotShare ? 0 : random.uint32() % keys}`
    const value = ((random.uint32() % 20_001) - 10_000) * GRAIN
    samples.push({ partition: partitionOf(Buffer.from(key), PARTITIONS_PER_SEED), key, timeMs, value })
  }
  const endMs = Math.ceil(nowMs) + 2 * (lane.sizeMs + lane.graceMs)
  for (let partition = 0; partition < PARTITIONS_PER_SEED; partition++)
    samples.push({ partition, key: `s${seed}.end${partition}`, timeMs: endMs, value: 0 })
  return samples
}

/** Windows computed the plain way, `key@start-end` to `count sum squares min max`, and what of the input is in none. */
export interface PlainWindows {
  readonly rows: ReadonlyMap<string, string>
  readonly late: number
}

/**
 * What both systems promise, in the plainest way: per partition, stream time is the largest event time so far (that of
 * the record itself included); a window takes a record while its end plus grace lies beyond stream time, and is final
 * when it no longer does.
 */
export function plainWindows(samples: readonly Sample[], lane: Lane): PlainWindows {
  const windows = new Map<string, { partition: number; endMs: number; kept: number[] }>()
  const streamMs = new Map<number, number>()
  let late = 0
  for (const { partition, key, timeMs, value } of samples) {
    const nowMs = Math.max(timeMs, streamMs.get(partition) ?? Number.NEGATIVE_INFINITY)
    streamMs.set(partition, nowMs)
    let taken = false
    const last = Math.floor(timeMs / lane.advanceMs) * lane.advanceMs
    for (let startMs = last; startMs > timeMs - lane.sizeMs; startMs -= lane.advanceMs) {
      const endMs = startMs + lane.sizeMs
      if (endMs + lane.graceMs <= nowMs) continue
      taken = true
      const id = `${key}@${startMs}-${endMs}`
      const [n = 0, sum = 0, squares = 0, least = Infinity, most = -Infinity] = windows.get(id)?.kept ?? []
      const kept = [
        n + 1,
        sum + value,
        squares + value * value,
        Math.min(least, value),
        Math.max(most, value),
      ]
      windows.set(id, { partition, endMs, kept })
    }
    if (!taken) late++
  }
  const rows = new Map<string, string>()
  for (const [id, { partition, endMs, kept }] of windows)
    if (endMs + lane.graceMs <= (streamMs.get(partition) ?? 0)) rows.set(id, kept.join(' '))
  return { rows, late }
}
