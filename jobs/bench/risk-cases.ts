import { nearestRank, sorted } from '#core/evaluation'
import { LEVELS, SeriesForecaster } from '#core/forecasting'
import { assessRisk, type EventEvidence, type RawRisk } from '#core/risk'
import type { Series } from './forecast-data.ts'

/** How a trace is turned into questions: will this limit be crossed within the horizon? */
export interface RiskProtocol {
  readonly stepMs: number
  /** Steps of a day, the season. */
  readonly day: number
  /** Steps ahead; a question every so many steps, so that no two overlap. */
  readonly horizon: number
  /** Limits: these quantiles of the last `history` steps, set anew each midnight. */
  readonly levels: readonly number[]
  readonly history: number
  /** First step of questions; those before the scored ones teach. */
  readonly from: number
}

/** A question with its answer: 1 if the limit was crossed. */
export interface RiskCase {
  readonly key: string
  readonly level: number
  readonly risk: RawRisk
  readonly crossed: 0 | 1
  /** The values of the horizon. */
  readonly coming: Float64Array
}

/** All questions about one series, in time order; each uses what was known when it was asked. */
export function* casesOf(
  series: Series,
  protocol: RiskProtocol,
  events: readonly EventEvidence[] = [],
): Generator<RiskCase> {
  const { stepMs, day, horizon, levels, history, from } = protocol
  const { key, timesMs, values } = series
  const forecaster = new SeriesForecaster({ stepMs, horizon, seasons: [day], nonNegative: true })
  const quantiles = new Float64Array(horizon * LEVELS)
  let limits: number[] = []
  for (let t = 0; t + horizon < values.length; t++) {
    forecaster.observe(timesMs[t] as number, values[t] as number)
    if (t < from) continue
    if (limits.length === 0 || t % day === 0) {
      const past = sorted(values.subarray(Math.max(0, t + 1 - history), t + 1))
      limits = levels.map((level) => nearestRank(past, level))
    }
    if (t % horizon !== 0) continue
    forecaster.forecast(quantiles)
    const issuedAtMs = timesMs[t] as number
    const coming = values.subarray(t + 1, t + 1 + horizon)
    for (const [i, level] of levels.entries()) {
      const limit = limits[i] as number
      const input = {
        entity: key,
        issuedAtMs,
        stepMs,
        steps: horizon,
        quantiles,
        limit,
        side: 'above',
      } as const
      const raw = assessRisk({ ...input, events }).rawProbability
      const crossed = coming.some((value) => value > limit) ? 1 : 0
      yield {
        key,
        coming,
        level,
        risk: { issuedAtMs, horizonMs: horizon * stepMs, raw, limit, side: 'above' },
        crossed,
      }
    }
  }
}
