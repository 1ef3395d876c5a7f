/** Coefficients of a regression with a Gaussian prior, and the standard deviation of each. */
export interface RidgeFit {
  readonly coefficients: Float64Array
  readonly spreads: Float64Array
}

/**
 * Solves (gram + precision) b = moment for a symmetric positive definite sum (`n` x `n`, row by row) by Cholesky. The
 * spread of coefficient i is sqrt(noise * inverse[i, i]): with `noise` the variance of a row, the posterior of ridge
 * regression. Overwrites `gram`.
 */
export function ridgeFit(gram: Float64Array, moment: Float64Array, n: number, noise: number): RidgeFit {
  factorise(gram, n)
  const coefficients = solve(gram, moment.slice(), n)
  const spreads = new Float64Array(n)
  const unit = new Float64Array(n)
  for (let i = 0; i < n; i++) {
    unit.fill(0)
    unit[i] = 1
    spreads[i] = Math.sqrt(noise * Math.max(0, forwardNorm(gram, unit, n, i)))
  }
  return { coefficients, spreads }
}

/** Lower Cholesky factor in place. A pivot that is not positive (rounding) becomes tiny instead of NaN. */
function factorise(a: Float64Array, n: number): void {
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = a[i * n + j] as number
      for (let k = 0; k < j; k++) sum -= (a[i * n + k] as number) * (a[j * n + k] as number)
      a[i * n + j] = i === j ? Math.sqrt(Math.max(1e-12, sum)) : sum / (a[j * n + j] as number)
    }
  }
}

function solve(a: Float64Array, b: Float64Array, n: number): Float64Array {
  forward(a, b, n, 0)
  for (let i = n - 1; i >= 0; i--) {
    let sum = b[i] as number
    for (let k = i + 1; k < n; k++) sum -= (a[k * n + i] as number) * (b[k] as number)
    b[i] = sum / (a[i * n + i] as number)
  }
  return b
}

function forward(a: Float64Array, b: Float64Array, n: number, from: number): void {
  for (let i = from; i < n; i++) {
    let sum = b[i] as number
    for (let k = from; k < i; k++) sum -= (a[i * n + k] as number) * (b[k] as number)
    b[i] = sum / (a[i * n + i] as number)
  }
}

/** Element (i, i) of the inverse: the squared length of the factor's solution for unit vector i. */
function forwardNorm(a: Float64Array, unit: Float64Array, n: number, i: number): number {
  forward(a, unit, n, i)
  let sum = 0
  for (let k = i; k < n; k++) sum += (unit[k] as number) ** 2
  return sum
}
