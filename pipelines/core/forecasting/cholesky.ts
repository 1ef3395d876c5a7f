/** Least pivot as a share of the diagonal: below it a direction counts as not seen. */
const LEAST_PIVOT = 1e-12

/**
 * Solves `matrix` x = `right` for a symmetric positive definite matrix of n rows (lower triangle read, overwritten) by Cholesky's method.
 * A direction that the matrix hardly has is given 0 instead of noise.
 */
export function choleskySolve(matrix: Float64Array, right: Float64Array, n: number): Float64Array {
  const at = (i: number, j: number): number => matrix[i * n + j] as number
  const x = right.slice()
  for (let j = 0; j < n; j++) {
    const before = at(j, j)
    let pivot = before
    for (let k = 0; k < j; k++) pivot -= at(j, k) ** 2
    const root = pivot > LEAST_PIVOT * before ? Math.sqrt(pivot) : Infinity
    matrix[j * n + j] = root
    for (let i = j + 1; i < n; i++) {
      let sum = at(i, j)
      for (let k = 0; k < j; k++) sum -= at(i, k) * at(j, k)
      matrix[i * n + j] = sum / root
    }
  }
  for (let i = 0; i < n; i++) {
    let sum = x[i] as number
    for (let k = 0; k < i; k++) sum -= at(i, k) * (x[k] as number)
    x[i] = sum / at(i, i)
  }
  for (let i = n - 1; i >= 0; i--) {
    let sum = x[i] as number
    for (let k = i + 1; k < n; k++) sum -= at(k, i) * (x[k] as number)
    x[i] = sum / at(i, i)
  }
  return x
}
