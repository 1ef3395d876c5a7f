/** Errors of a backtest, and how they were come by. */
export interface BacktestErrors {
  /** Actual - forecast, `origins` rows of `horizon`, NaN where unknown. */
  readonly errors: Float32Array
  readonly origins: number
  readonly horizon: number
  /** Steps between origins. */
  readonly stride: number
}

/** The growth of errors with the reach h is h^GROWTH as far as a backtest does not say otherwise; it counts as this many errors. */
const GROWTH = 0.4
const GROWTH_WEIGHT = 10
const LEAST_GROWTH = 0
const MOST_GROWTH = 1
/** One step's own errors count against the course of all by the facts in them over this many more. */
const OWN_FACTS = 8
/** Errors further out than this many root mean squares of all count as this far. */
const FURTHEST = 4

/**
 * Standard deviation of the forecast error at each step 1..horizon, from few errors: their root mean squares follow a power of the reach, which
 * all steps together say, and each step departs from it as far as it has facts of its own. `factsOf(h)`: independent errors at a step. NaN if
 * there is no error at all.
 */
export function smoothSpread(
  { errors, origins, horizon }: BacktestErrors,
  factsOf: (h: number) => number,
): Float64Array {
  const squares = new Float64Array(horizon)
  const counts = new Float64Array(horizon)
  const bound = FURTHEST ** 2 * meanSquare(errors)
  for (let i = 0; i < origins * horizon; i++) {
    const error = errors[i] as number
    if (Number.isNaN(error)) continue
    const h = i % horizon
    squares[h] = (squares[h] as number) + Math.min(bound, error ** 2)
    counts[h] = (counts[h] as number) + 1
  }
  const growth = growthOf(squares, counts)
  let total = 0
  let known = 0
  for (let h = 0; h < horizon; h++) {
    total += (squares[h] as number) / (h + 1) ** (2 * growth)
    known += counts[h] as number
  }
  const first = total / known
  return squares.map((sum, h) => {
    const course = first * (h + 1) ** (2 * growth)
    const n = counts[h] as number
    const weight = n > 0 ? factsOf(h + 1) / (factsOf(h + 1) + OWN_FACTS) : 0
    return Math.sqrt(weight > 0 ? (weight * sum) / n + (1 - weight) * course : course)
  })
}

function meanSquare(errors: Float32Array): number {
  let sum = 0
  let n = 0
  for (const error of errors) {
    if (Number.isNaN(error)) continue
    sum += error ** 2
    n++
  }
  return n > 0 ? sum / n : NaN
}

/** Slope of log root mean square over log h, by least squares, with the usual growth counting as some errors more. */
function growthOf(squares: Float64Array, counts: Float64Array): number {
  let n = 0
  let x = 0
  let y = 0
  const each = (use: (logH: number, logRms: number, weight: number) => void): void => {
    counts.forEach((count, h) => {
      const sum = squares[h] as number
      if (count > 0 && sum > 0) use(Math.log(h + 1), Math.log(sum / count) / 2, count)
    })
  }
  each((logH, logRms, weight) => {
    n += weight
    x += weight * logH
    y += weight * logRms
  })
  let xx = GROWTH_WEIGHT
  let xy = GROWTH_WEIGHT * GROWTH
  each((logH, logRms, weight) => {
    xx += weight * (logH - x / n) ** 2
    xy += weight * (logH - x / n) * (logRms - y / n)
  })
  return Math.max(LEAST_GROWTH, Math.min(MOST_GROWTH, xy / xx))
}
