import { ForestallError } from '#core/ports'

/** How the joint autoregression is fitted. */
export interface ArRidgeOptions {
  /** Rows known at the target: row i is forecast from rows <= i - lag. */
  readonly lag: number
  /** Intervals per day; 0 = no daily terms. */
  readonly daily: number
  /** Ridge penalty on every coefficient. */
  readonly ridge?: number
}

/**
 * Ridge autoregression on the log of several series that share a clock. Row i of `predicted` uses rows <= i - lag
 * only; the coefficients rest on targets before `fittedBefore`.
 */
export interface ArRidge {
  /** First row with a forecast. */
  readonly first: number
  /** Log of the floored series, per row. */
  readonly logs: readonly Float64Array[]
  /** Log forecast per row (median of the fitted distribution, since residuals are centred in log). */
  readonly predicted: readonly Float64Array[]
  /** The tau-quantile (0..1) of every series at a row: forecast x exp(nearest-rank residual of the fit). */
  quantile(row: number, tau: number): Float64Array
}

/** Rows looked back at by the mean, the maximum. */
const WINDOW = 12
/** Weight of the newest value in the exponential mean. */
const EWMA = 0.3

/** Solves the symmetric positive definite system a x = b in place (Cholesky). `n` x `n`, row by row. */
function solveSpd(a: Float64Array, b: Float64Array, n: number): Float64Array {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j]!
      for (let k = 0; k < j; k++) sum -= a[i * n + k]! * a[j * n + k]!
      a[i * n + j] = i === j ? Math.sqrt(sum) : sum / a[j * n + j]!
    }
  }
  for (let i = 0; i < n; i++) {
    let sum = b[i]!
    for (let k = 0; k < i; k++) sum -= a[i * n + k]! * b[k]!
    b[i] = sum / a[i * n + i]!
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i]!
    for (let k = i + 1; k < n; k++) sum -= a[k * n + i]! * b[k]!
    b[i] = sum / a[i * n + i]!
  }
  return b
}

/** The state of one series after each row: last, mean of 3, mean of 12, max of 12, EWMA; minus `centre`. */
function features(series: Float64Array, centre: number): Float64Array[] {
  const n = series.length
  const out = [0, 1, 2, 3, 4].map(() => new Float64Array(n))
  const [last, mean3, mean12, max12, smooth] = out as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ]
  let ewma = series[0]! - centre
  for (let i = 0; i < n; i++) {
    const from = Math.max(0, i - WINDOW + 1)
    let sum = 0
    let sum3 = 0
    let max = -Infinity
    for (let j = from; j <= i; j++) {
      const value = series[j]! - centre
      sum += value
      if (j > i - 3) sum3 += value
      if (value > max) max = value
    }
    if (i > 0) ewma = EWMA * (series[i]! - centre) + (1 - EWMA) * ewma
    last[i] = series[i]! - centre
    mean3[i] = sum3 / Math.min(3, i + 1)
    mean12[i] = sum / (i - from + 1)
    max12[i] = max
    smooth[i] = ewma
  }
  return out
}

interface Design {
  /** Regressors per row, `width` numbers each, the last one constant. */
  readonly x: Float64Array
  readonly width: number
}

/** Mean of the three values around `at` (centred), or 0 before the series begins. */
const around = (series: Float64Array, at: number, centre: number) =>
  at < 1 ? 0 : (series[at - 1]! + series[at]! + series[at + 1]!) / 3 - centre

function design(series: Float64Array, centre: number, { lag, daily }: ArRidgeOptions): Design {
  const state = features(series, centre)
  const width = 6 + (daily > 0 ? 2 : 0)
  const x = new Float64Array(series.length * width)
  for (let i = lag; i < series.length; i++) {
    const at = i * width
    for (let f = 0; f < 5; f++) x[at + f] = state[f]![i - lag]!
    if (daily > 0) {
      x[at + 5] = around(series, i - daily, centre)
      x[at + 6] = around(series, i - daily - lag, centre)
    }
    x[at + width - 1] = 1
  }
  return { x, width }
}

function fitCoefficients(
  { x, width }: Design,
  y: Float64Array,
  from: number,
  to: number,
  ridge: number,
): Float64Array {
  const gram = new Float64Array(width * width)
  const moment = new Float64Array(width)
  for (let i = from; i < to; i++) {
    for (let a = 0; a < width; a++) {
      const xa = x[i * width + a]!
      moment[a] = moment[a]! + xa * y[i]!
      for (let b = 0; b <= a; b++) gram[a * width + b] = gram[a * width + b]! + xa * x[i * width + b]!
    }
  }
  for (let a = 0; a < width; a++) {
    gram[a * width + a] = gram[a * width + a]! + ridge
    for (let b = 0; b < a; b++) gram[b * width + a] = gram[a * width + b]!
  }
  return solveSpd(gram, moment, width)
}

/**
 * Fits one regression per series on targets before `fittedBefore` and forecasts every row (evaluation protocol,
 * "AR": last, mean 3, mean 12, max 12, EWMA(0.3), constant; with daily terms the mean log around target - day and
 * around last known - day). Values are floored at 1 % of their training mean. Throws CONFIG_INVALID if too short.
 */
export function fitArRidge(
  rows: readonly Float64Array[],
  fittedBefore: number,
  options: ArRidgeOptions,
): ArRidge {
  const { lag, daily, ridge = 1 } = options
  const first = Math.max(WINDOW + lag, daily > 0 ? daily + lag + 3 : 0)
  if (fittedBefore - first < 20)
    throw new ForestallError('CONFIG_INVALID', `training rows = ${fittedBefore}`, {
      cure: `Give at least ${first + 20} rows.`,
    })
  const width = rows[0]!.length
  const count = rows.length
  const logs = rows.map(() => new Float64Array(width))
  const predicted = rows.map(() => new Float64Array(width))
  const residuals: Float64Array[] = []
  for (let j = 0; j < width; j++) {
    let mean = 0
    for (let i = 0; i < fittedBefore; i++) mean += rows[i]![j]! / fittedBefore
    const floor = Math.max(mean * 1e-2, 1e-9)
    const series = Float64Array.from(rows, (row) => Math.log(Math.max(row[j]!, floor)))
    let centre = 0
    for (let i = 0; i < fittedBefore; i++) centre += series[i]! / fittedBefore
    const { x, width: terms } = design(series, centre, options)
    const coefficients = fitCoefficients(
      { x, width: terms },
      series.map((v) => v - centre),
      first,
      fittedBefore,
      ridge,
    )
    const residual = new Float64Array(fittedBefore - first)
    for (let i = 0; i < count; i++) {
      logs[i]![j] = series[i]!
      if (i < first) continue
      let sum = centre
      for (let f = 0; f < terms; f++) sum += coefficients[f]! * x[i * terms + f]!
      predicted[i]![j] = sum
      if (i < fittedBefore) residual[i - first] = series[i]! - sum
    }
    residuals.push(residual.sort())
  }
  return {
    first,
    logs,
    predicted,
    quantile: (row, tau) =>
      Float64Array.from(predicted[row]!, (p, j) => {
        const sorted = residuals[j]!
        return Math.exp(
          p + sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(tau * sorted.length) - 1))]!,
        )
      }),
  }
}
