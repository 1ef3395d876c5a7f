import { SeasonalNaive } from '#core/forecasting'
import type { ByteReader, ByteWriter } from '#core/math'

/** What a forecast carries so that it can be scored. */
export interface Yardstick {
  /** What the seasonal naive says of the same target; null before the first value. */
  readonly seasonal_naive: number | null
  /** Its mean absolute error so far; null while there is none. */
  readonly scale: number | null
}

/** The seasonal naive of many series that step together: the yardstick for forecasts of models of one's own. */
export class Yardsticks {
  readonly #series: SeasonalNaive[]

  /** `season` in steps. */
  constructor(series: number, season: number) {
    this.#series = Array.from({ length: series }, () => new SeasonalNaive(season))
  }

  /** One step of all series, in their order; null: it is unknown, and only time moves on. */
  observe(values: ArrayLike<number> | null): void {
    this.#series.forEach((series, i) => series.observe(values?.[i] ?? Number.NaN))
  }

  /** What a forecast of series `i` carries, `steps` (>= 1) after the last step. */
  of(i: number, steps: number): Yardstick {
    const series = this.#series[i] as SeasonalNaive
    const value = series.forecast(steps)
    return { seasonal_naive: Number.isFinite(value) ? value : null, scale: series.scale }
  }

  encode(out: ByteWriter): void {
    for (const series of this.#series) series.encode(out)
  }

  decode(from: ByteReader): void {
    for (const series of this.#series) series.decode(from)
  }
}
