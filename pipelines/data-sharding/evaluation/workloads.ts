import { ForestallError, mulberry32 } from '#core/ports'
import { h32, segmentOf } from '../placement/index.ts'
import { triangle } from './generator.ts'
import type { Trace } from './trace.ts'

const KEYS = 2048
const SEGMENTS = 256
const DAY = 96
const DAYS = 14
const QUERIES = 1200

/** Relative weight of each rank of popularity, and of a key at a step beside it. */
interface Workload {
  readonly alpha: number
  /** Queries of the step, relative to the mean. */
  level(t: number): number
  /** A factor of the key at the step. */
  factor(key: number, t: number): number
  /** Days of the trace; 14 unless told. */
  readonly days?: number
}

const scattered = (rank: number, salt: string) => h32(`${salt}${rank}`) % KEYS
const daily = (t: number) => 1 + 0.4 * triangle(t / DAY)
const plain = { level: daily, factor: () => 1 }
/** Which key has which rank of popularity. */
const OWNERS = Int32Array.from({ length: KEYS }, (_, r) => scattered(r, 'o'))
/** The key that is suddenly hot, three hours each. */
const SUDDEN = Int32Array.from({ length: Math.ceil((DAYS * DAY) / 12) }, (_, k) => scattered(k, 'hot'))

/** A hot window that moves through the key space, once around in so many days. */
const sweep = (days: number): Workload => ({
  ...plain,
  alpha: 0.6,
  factor: (key, t) => {
    const gap = Math.abs(((key / KEYS - t / (days * DAY)) % 1) + 1) % 1
    return Math.min(gap, 1 - gap) < 0.02 ? 40 : 1
  },
})

/** Loads of other kinds than those that settings were chosen on. */
const WORKLOADS: Readonly<Record<string, Workload>> = {
  sweep: sweep(4),
  'fast sweep': sweep(1),
  'slow sweep': sweep(12),
  // Another key every 3 hours takes a fifth of all queries.
  sudden: {
    ...plain,
    alpha: 0.9,
    factor: (key, t) => (key === SUDDEN[Math.floor(t / 12)] ? 2500 : 1),
  },
  // Two halves of the keys are hot in turn by day and night, and the turn flips every five days.
  flip: {
    ...plain,
    alpha: 1,
    factor: (key, t) => ((Math.floor((2 * t) / DAY) + Math.floor(t / (5 * DAY)) + key) % 2 === 0 ? 5 : 1),
  },
  // Grows to four times in two weeks, and the popular keys gain most.
  ramp: {
    ...plain,
    alpha: 1.1,
    level: (t) => 0.5 + (1.5 * t) / (DAYS * DAY),
    factor: (key, t) => 1 + ((key % 7) * t) / (DAYS * DAY),
  },
  // Every key the same, no cycle: there is nothing to forecast.
  noise: { ...plain, alpha: 0, level: () => 1 },
  // Hot keys that change places every two steps: what came last is always wrong.
  alternating: {
    ...plain,
    alpha: 0.9,
    factor: (key, t) => (key % 2 === Math.floor(t / 2) % 2 ? 8 : 1),
  },
  // Every two hours of the day have hot keys of their own, the same ones each day.
  periodic: {
    ...plain,
    alpha: 0.8,
    factor: (key, t) => (key % 12 === Math.floor(t / 8) % 12 ? 12 : 1),
  },
  // Every day of the week has hot keys of its own.
  weekly: {
    ...plain,
    alpha: 0.8,
    days: 28,
    factor: (key, t) => (key % 7 === Math.floor(t / DAY) % 7 ? 12 : 1),
  },
}

/** Names of the workloads. */
export const WORKLOAD_NAMES = Object.keys(WORKLOADS)

/** Queries drawn from the weights of a step. */
function drawStep(
  work: Float64Array,
  cdf: Float64Array,
  keys: Int32Array,
  count: number,
  uniform: () => number,
) {
  const total = cdf.at(-1)!
  for (let q = 0; q < count; q++) {
    const v = uniform() * total
    let low = 0
    let high = cdf.length - 1
    while (low < high) {
      const middle = (low + high) >>> 1
      if (cdf[middle]! > v) high = middle
      else low = middle + 1
    }
    work[keys[low]!]! += 1
  }
}

/** A load of a named kind. Throws CONFIG_INVALID for a name that is not known. */
export function workloadTrace(name: string, seed: number): Trace {
  const kind = WORKLOADS[name]
  if (kind === undefined)
    throw new ForestallError('CONFIG_INVALID', `--workload = ${name}`, {
      cure: `Name one of ${WORKLOAD_NAMES.join(', ')}.`,
    })
  const random = mulberry32(seed)
  const segment = Int32Array.from({ length: KEYS }, (_, k) => segmentOf(`q${k}`, SEGMENTS))
  const keys = new Int32Array(KEYS)
  const weights = Float64Array.from({ length: KEYS }, (_, r) => (r + 1) ** -kind.alpha)
  const cdf = new Float64Array(KEYS)
  const days = kind.days ?? DAYS
  const steps = days * DAY
  const work = new Float64Array(steps * SEGMENTS)
  for (let t = 0; t < steps; t++) {
    let sum = 0
    for (let r = 0; r < KEYS; r++) {
      const key = OWNERS[r]!
      keys[r] = segment[key]!
      sum += weights[r]! * kind.factor(key, t)
      cdf[r] = sum
    }
    const row = work.subarray(t * SEGMENTS, (t + 1) * SEGMENTS)
    drawStep(row, cdf, keys, Math.round(QUERIES * kind.level(t)), () => random.uniform())
  }
  return {
    name: `${name} seed ${seed}`,
    segments: SEGMENTS,
    instances: 8,
    steps,
    work,
    calendar: null,
    start: Math.floor(days / 4) * DAY,
    t0: Math.floor((3 * days) / 7) * DAY,
    day: DAY,
    week: 7 * DAY,
    leadSteps: 2,
  }
}
