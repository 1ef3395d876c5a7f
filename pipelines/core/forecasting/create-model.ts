import type { ForecastModel } from './model.ts'
import type { ModelLibrary } from './model-library.ts'
import { netModel } from './net-model.ts'
import { Sarima } from './sarima.ts'
import { blend, drift, exponentialLevel, mean, naive, seasonalNaive } from './simple-models.ts'

const PLAIN: Readonly<Record<string, () => ForecastModel>> = { naive, ses: exponentialLevel, mean, drift }
const SEASONAL: Readonly<Record<string, (season: number) => ForecastModel>> = {
  'seasonal-naive': seasonalNaive,
  sarima: (season) => new Sarima(season),
  blend: (season) => seasonalBlend(exponentialLevel(), new Sarima(season), season),
}

/** The champion of most operational series: level and seasonal ARIMA, half each. */
export function seasonalBlend(level: ForecastModel, seasonal: ForecastModel, season: number): ForecastModel {
  return blend(`blend-${season}`, level, seasonal)
}

/**
 * A model without state, by name: naive, ses, mean, drift, seasonal-naive-M, sarima-M, blend-M (M = season in steps), and
 * what the library holds: net-ID. Throws RangeError for any other.
 */
export function createModel(name: string, library: ModelLibrary = {}): ForecastModel {
  const plain = PLAIN[name]
  if (plain) return plain()
  const net = name.startsWith('net-') ? library.nets?.get(name.slice('net-'.length)) : undefined
  if (net) return netModel(net)
  const dash = name.lastIndexOf('-')
  const season = Number(name.slice(dash + 1))
  const make = SEASONAL[name.slice(0, dash)]
  if (!make || !Number.isInteger(season) || season < 2) throw new RangeError(`no model is named ${name}`)
  return make(season)
}
