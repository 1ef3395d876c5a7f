/** A monotone map from raw to calibrated probability: linear between points, flat outside. */
export interface Calibration {
  /** Raw probabilities, ascending. */
  readonly raw: readonly number[]
  /** Calibrated probabilities, ascending. */
  readonly calibrated: readonly number[]
}

/** Changes nothing: what stands until enough outcomes are known. */
export const IDENTITY: Calibration = { raw: [0, 1], calibrated: [0, 1] }

/** Fewer outcomes than this, or none of one kind, teach nothing reliable. */
const FEWEST = 50

interface Block {
  raw: number
  hits: number
  weight: number
}

/**
 * Isotonic calibration by pooling adjacent violators (Ayer et al. 1955). `outcomes`: 1 if the limit was crossed, else 0.
 * Each block counts its own mean raw probability as one more outcome, so that a short run of luck does not become 0 or 1.
 * Fewer than 50 outcomes, or all the same, give the identity.
 */
export function fitCalibration(probabilities: ArrayLike<number>, outcomes: ArrayLike<number>): Calibration {
  const n = probabilities.length
  const order = Array.from({ length: n }, (_, i) => i)
  order.sort((a, b) => (probabilities[a] as number) - (probabilities[b] as number))
  const total = order.reduce((sum, i) => sum + (outcomes[i] as number), 0)
  if (n < FEWEST || total === 0 || total === n) return IDENTITY
  const blocks: Block[] = []
  for (const i of order) {
    const last = blocks.at(-1)
    const raw = probabilities[i] as number
    const hit = outcomes[i] as number
    if (last && last.raw / last.weight === raw) {
      last.raw += raw
      last.hits += hit
      last.weight++
    } else blocks.push({ raw, hits: hit, weight: 1 })
    pool(blocks)
  }
  let before = 0
  const calibrated = blocks.map((block) => {
    before = Math.max(before, (block.hits + block.raw / block.weight) / (block.weight + 1))
    return before
  })
  return { raw: blocks.map((block) => block.raw / block.weight), calibrated }
}

/** Applies a calibration; never decreasing in `probability`, 0..1. */
export function calibrate({ raw, calibrated }: Calibration, probability: number): number {
  const n = raw.length
  if (n === 0) return probability
  let high = 0
  while (high < n && (raw[high] as number) < probability) high++
  if (high === 0) return calibrated[0] as number
  if (high === n) return calibrated[n - 1] as number
  const left = raw[high - 1] as number
  const share = (probability - left) / ((raw[high] as number) - left)
  const low = calibrated[high - 1] as number
  return low + share * ((calibrated[high] as number) - low)
}

/** Mean squared distance of probability and outcome: 0 best, 0.25 for always saying one half. NaN if empty. */
export function brierScore(probabilities: ArrayLike<number>, outcomes: ArrayLike<number>): number {
  let sum = 0
  for (let i = 0; i < probabilities.length; i++) {
    sum += ((probabilities[i] as number) - (outcomes[i] as number)) ** 2
  }
  return sum / probabilities.length
}

/** One bin of a reliability diagram. */
export interface ReliabilityBin {
  readonly count: number
  readonly meanProbability: number
  /** Share of outcomes that were crossings. */
  readonly frequency: number
}

/** Equal-width bins of probability; empty bins are left out. */
export function reliability(
  probabilities: ArrayLike<number>,
  outcomes: ArrayLike<number>,
  bins = 10,
): ReliabilityBin[] {
  const sums = Array.from({ length: bins }, () => ({ count: 0, probability: 0, hits: 0 }))
  for (let i = 0; i < probabilities.length; i++) {
    const probability = probabilities[i] as number
    const bin = sums[Math.min(bins - 1, Math.floor(probability * bins))]
    if (!bin) continue
    bin.count++
    bin.probability += probability
    bin.hits += outcomes[i] as number
  }
  return sums
    .filter((bin) => bin.count > 0)
    .map(({ count, probability, hits }) => ({
      count,
      meanProbability: probability / count,
      frequency: hits / count,
    }))
}

/** Expected calibration error: mean distance of probability and frequency over the bins, weighted by count. NaN if empty. */
export function calibrationError(
  probabilities: ArrayLike<number>,
  outcomes: ArrayLike<number>,
  bins = 10,
): number {
  const filled = reliability(probabilities, outcomes, bins)
  const sum = filled.reduce((acc, bin) => acc + bin.count * Math.abs(bin.meanProbability - bin.frequency), 0)
  return sum / probabilities.length
}

function pool(blocks: Block[]): void {
  for (;;) {
    const last = blocks.at(-1)
    const previous = blocks.at(-2)
    if (!last || !previous || previous.hits * last.weight < last.hits * previous.weight) return
    previous.raw += last.raw
    previous.hits += last.hits
    previous.weight += last.weight
    blocks.pop()
  }
}
