import { parentPort, workerData } from 'node:worker_threads'
import { LEVELS, SeriesForecaster } from '#core/forecasting'
import { hourlySeries } from './forecast-speed-data.ts'

/** Refits champions from..to-1 of the generated series; tells the parent how many are done, then the sum of all medians. */
export interface RefitJob {
  readonly from: number
  readonly to: number
  readonly points: number
  readonly horizon: number
  readonly model: string
}

const REPORT_EVERY = 200
const HOUR = 3_600_000

function refit({ from, to, points, horizon, model }: RefitJob): number {
  const quantiles = new Float64Array(horizon * LEVELS)
  let sum = 0
  for (let key = from; key < to; key++) {
    const forecaster = new SeriesForecaster({
      stepMs: HOUR,
      horizon,
      seasons: [24, 168],
      historyPoints: points,
      nonNegative: true,
    })
    forecaster.adopt(model)
    forecaster.start(hourlySeries(key, points), points * HOUR)
    forecaster.forecast(quantiles)
    sum += quantiles[2] as number
    if ((key - from + 1) % REPORT_EVERY === 0) parentPort?.postMessage({ done: REPORT_EVERY }, [])
  }
  return sum
}

if (parentPort) {
  const job = workerData as RefitJob
  parentPort.postMessage({ sum: refit(job) }, [])
}
