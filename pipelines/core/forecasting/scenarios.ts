import type { Random } from '#core/ports'
import type { ArRidge } from './ar-ridge.ts'

/** Which past forecast errors scenarios are drawn from: the rows from..to-1. */
export interface ErrorPool {
  readonly from: number
  readonly to: number
}

/** `count` rows of the pool, drawn with replacement: the origins of the scenarios. */
export function drawOrigins(pool: ErrorPool, count: number, random: Random): Int32Array {
  const size = pool.to - pool.from
  return Int32Array.from({ length: count }, () => pool.from + Math.floor(random.uniform() * size))
}

/**
 * Joint scenarios for the target `row`: the forecast times the whole error vector of each origin, so that series which
 * erred together stay together. One vector per origin, in the unit of the series.
 */
export function jointScenarios(model: ArRidge, row: number, origins: Int32Array): Float64Array[] {
  const forecast = model.predicted[row]!
  return Array.from(origins, (origin) => {
    const logs = model.logs[origin]!
    const predicted = model.predicted[origin]!
    return forecast.map((value, j) => Math.exp(value + logs[j]! - predicted[j]!))
  })
}
