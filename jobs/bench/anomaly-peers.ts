import { probation } from './anomaly-nab.ts'

const WINDOW = 6400
const SLIDE = 100
const LEAST_DEVIATION = 1e-6
/** The published results were computed from scores that had been written with so many digits: 0.9999999999996 is 1. */
const DIGITS = 12

/**
 * Numenta's yardstick: 1 - the Gaussian tail probability of a value, with mean and deviation of the last 6,400 values
 * (the window moves by 100). Its size was tuned on this benchmark by Numenta.
 */
export function windowedGaussian(values: Float64Array): Float64Array {
  const scores = new Float64Array(values.length)
  let begin = 0
  let end = 0
  let moments = momentsOf(values, 0, 1)
  for (let t = 0; t < values.length; t++) {
    if (t > 0) {
      const z = Math.abs((values[t] as number) - moments.mean) / moments.deviation
      scores[t] = Number((1 - tailProbability(z)).toPrecision(DIGITS))
    }
    if (end - begin < WINDOW) {
      end = t + 1
      moments = momentsOf(values, begin, end)
    } else if (t + 1 - end === SLIDE) {
      begin += SLIDE
      end += SLIDE
      moments = momentsOf(values, begin, end)
    }
  }
  return scores
}

function momentsOf(values: Float64Array, begin: number, end: number): { mean: number; deviation: number } {
  let sum = 0
  for (let i = begin; i < end; i++) sum += values[i] as number
  const mean = sum / (end - begin)
  let squares = 0
  for (let i = begin; i < end; i++) squares += ((values[i] as number) - mean) ** 2
  return { mean, deviation: Math.sqrt(squares / (end - begin)) || LEAST_DEVIATION }
}

/** P(N(0,1) > z) for z >= 0: a series near 0, a continued fraction (Lentz) in the tail, where the difference from 1 counts. */
export function tailProbability(z: number): number {
  const density = Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)
  if (z < 2) {
    let term = z
    let sum = z
    for (let n = 1; n < 60; n++) {
      term *= (z * z) / (2 * n + 1)
      sum += term
    }
    return 0.5 - density * sum
  }
  let fraction = z
  for (let n = 80; n > 0; n--) fraction = z + n / fraction
  return density / fraction
}

const DIMENSION = 19
const NEIGHBOURS = 27
const ALARM = 0.9965

/**
 * KNN-CAD (Burnaev and Ishimtsev, 2016): the context of a value is the last 19; its oddity is the sum of Mahalanobis
 * distances to its 27 nearest of the training contexts, ranked among those before. An alarm silences the next ones.
 */
export function contextKnn(values: Float64Array): Float64Array {
  const period = probation(values.length)
  const scores = new Float64Array(values.length)
  const contexts = (t: number): Float64Array => values.subarray(t - DIMENSION + 1, t + 1)
  let training: Float64Array[] = []
  let root = identity()
  let mapped: Float64Array[] = []
  const calibration: Float64Array[] = []
  const oddities: number[] = []
  let quiet = 0
  for (let t = DIMENSION - 1; t < values.length; t++) {
    const count = t + 1
    const context = contexts(t)
    if (count < period) {
      training.push(context)
      continue
    }
    const phase = count % period
    if (phase === 0 || phase === Math.floor(period / 2)) {
      root = inverseRoot(training) ?? root
      mapped = training.map((one) => transform(root, one))
    }
    if (mapped.length !== training.length) mapped = training.map((one) => transform(root, one))
    if (oddities.length === 0) for (const one of mapped) oddities.push(oddity(one, mapped, NEIGHBOURS + 1))
    const own = oddity(transform(root, context), mapped, NEIGHBOURS)
    const rank = oddities.reduce((below, other) => below + Number(other < own), 0) / oddities.length
    if (count >= 2 * period) {
      const next = calibration.shift() as Float64Array
      training = [...training.slice(1), next]
      mapped.shift()
      mapped.push(transform(root, next))
    }
    oddities.shift()
    oddities.push(own)
    calibration.push(context)
    scores[t] = quiet > 0 ? 0.5 : rank
    if (quiet > 0) quiet--
    else if (rank >= ALARM) quiet = Math.floor(period / 5)
  }
  return scores
}

/** Sum of the smallest squared distances; a sorted list of the nearest so far is all that is kept. */
function oddity(point: Float64Array, others: readonly Float64Array[], neighbours: number): number {
  const nearest = new Float64Array(neighbours).fill(Infinity)
  for (const other of others) {
    const farthest = nearest[neighbours - 1] as number
    let distance = 0
    for (let i = 0; i < DIMENSION && distance < farthest; i++) {
      distance += ((point[i] as number) - (other[i] as number)) ** 2
    }
    if (distance >= farthest) continue
    let at = neighbours - 1
    for (; at > 0 && (nearest[at - 1] as number) > distance; at--) nearest[at] = nearest[at - 1] as number
    nearest[at] = distance
  }
  return nearest.reduce((sum, distance) => sum + (distance === Infinity ? 0 : distance), 0)
}

type Matrix = Float64Array[]

const identity = (): Matrix =>
  Array.from({ length: DIMENSION }, (_, i) =>
    Float64Array.from({ length: DIMENSION }, (__, j) => Number(i === j)),
  )

/** Solves L x = point, so that distances between such x are Mahalanobis distances for the matrix L Lᵀ. */
function transform(lower: Matrix, point: Float64Array): Float64Array {
  const solved = new Float64Array(DIMENSION)
  for (let i = 0; i < DIMENSION; i++) {
    const row = lower[i] as Float64Array
    let sum = point[i] as number
    for (let j = 0; j < i; j++) sum -= (row[j] as number) * (solved[j] as number)
    solved[i] = sum / (row[i] as number)
  }
  return solved
}

/** The Cholesky factor L of Σ x xᵀ; null if it is singular. */
function inverseRoot(points: readonly Float64Array[]): Matrix | null {
  const lower = identity()
  for (let i = 0; i < DIMENSION; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = points.reduce((total, x) => total + (x[i] as number) * (x[j] as number), 0)
      for (let k = 0; k < j; k++) sum -= (lower[i]?.[k] as number) * (lower[j]?.[k] as number)
      if (i === j && !(sum > 0)) return null
      const row = lower[i] as Float64Array
      row[j] = i === j ? Math.sqrt(sum) : sum / (lower[j]?.[j] as number)
    }
  }
  return lower
}
