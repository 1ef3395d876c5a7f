import { scoreSheet } from '#core/forecasting'

/** How good the forecasts of one series were; divided by its scale where it has a unit. */
export interface Accuracy {
  readonly mase: number
  /** Mean over steps and quantiles. */
  readonly pinball: number
  /** Share of outcomes inside q025..q975. */
  readonly coverage95: number
  readonly msis: number
}

/** Of six quantiles per step, by the scale of the series (> 0); steps whose outcome is NaN do not count, NaN if none does. */
export function accuracyOf(quantiles: Float64Array, actual: ArrayLike<number>, scale: number): Accuracy {
  const sheet = scoreSheet()
  sheet.add(quantiles, actual)
  const { mase, pinball, coverage95, msis } = sheet.result(scale)
  const known = (score: number | null) => score ?? Number.NaN
  return { mase: known(mase), pinball: known(pinball), coverage95: known(coverage95), msis: known(msis) }
}
