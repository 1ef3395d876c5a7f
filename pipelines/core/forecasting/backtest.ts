import type { ForecastModel } from './model.ts'

/** What a rolling backtest found. Errors are actual - forecast in model scale, `origins` rows of `horizon`, NaN where unknown. */
export interface Backtest {
  readonly origins: number
  readonly horizon: number
  /** Per model, row by row. */
  readonly errors: readonly Float32Array[]
}

/**
 * Rolls already fitted models forward over `values[from..]` (one update per value) and forecasts at every
 * `stride`-th origin, the first before `values[from]`. Leaves the models' state at the end of `values`.
 * Parameters must come from values before `from`, so that no error rests on a point that was fitted.
 */
export function rollingBacktest(
  models: readonly ForecastModel[],
  values: Float64Array,
  from: number,
  horizon: number,
  stride: number,
): Backtest {
  const length = values.length - from
  const origins = Math.max(0, Math.ceil(length / stride))
  const forecast = new Float64Array(horizon)
  const errors = models.map((model) => {
    const found = new Float32Array(origins * horizon).fill(NaN)
    for (let t = 0; t < length; t++) {
      if (t % stride === 0) {
        const steps = Math.min(horizon, length - t)
        model.forecast(steps, forecast)
        const row = (t / stride) * horizon
        for (let h = 0; h < steps; h++) {
          found[row + h] = (values[from + t + h] as number) - (forecast[h] as number)
        }
      }
      model.update(values[from + t] as number)
    }
    return found
  })
  return { origins, horizon, errors }
}

/** Mean absolute error of a row-by-row table; NaN if nothing is known. */
export function meanAbsolute(errors: Float32Array): number {
  let sum = 0
  let n = 0
  for (const error of errors) {
    if (Number.isNaN(error)) continue
    sum += Math.abs(error)
    n++
  }
  return n === 0 ? NaN : sum / n
}
