import type { ForecastModel } from './model.ts'

/** What a rolling backtest found. Errors are actual - forecast in model scale, `origins` rows of `horizon`, NaN where unknown. */
export interface Backtest {
  readonly origins: number
  readonly horizon: number
  /** Per candidate, row by row. */
  readonly errors: readonly Float32Array[]
}

/** A candidate: the mean of the forecasts of one or two base models (indices into the models given). */
export type Candidate = readonly [first: number, second?: number]

/**
 * Rolls already fitted models forward over `values[from..]` (one update per value) and forecasts at every
 * `stride`-th origin, the first before `values[from]`. Leaves the models' state at the end of `values`.
 * Parameters must come from values before `from`, so that no error rests on a point that was fitted.
 */
export function rollingBacktest(
  models: readonly ForecastModel[],
  candidates: readonly Candidate[],
  values: Float64Array,
  from: number,
  horizon: number,
  stride: number,
): Backtest {
  const length = values.length - from
  const origins = Math.max(0, Math.ceil(length / stride))
  const errors = candidates.map(() => new Float32Array(origins * horizon).fill(NaN))
  const forecasts = models.map(() => new Float64Array(horizon))
  for (let t = 0; t < length; t++) {
    if (t % stride === 0) {
      const steps = Math.min(horizon, length - t)
      models.forEach((model, i) => model.forecast(steps, forecasts[i] as Float64Array))
      const row = (t / stride) * horizon
      candidates.forEach((candidate, i) => {
        writeErrors(errors[i] as Float32Array, row, values, from + t, steps, forecasts, candidate)
      })
    }
    for (const model of models) model.update(values[from + t] as number)
  }
  return { origins, horizon, errors }
}

function writeErrors(
  errors: Float32Array,
  row: number,
  values: Float64Array,
  at: number,
  steps: number,
  forecasts: readonly Float64Array[],
  [first, second]: Candidate,
): void {
  const one = forecasts[first] as Float64Array
  const two = second === undefined ? one : (forecasts[second] as Float64Array)
  for (let h = 0; h < steps; h++) {
    errors[row + h] = (values[at + h] as number) - ((one[h] as number) + (two[h] as number)) / 2
  }
}
