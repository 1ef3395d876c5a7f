import type { Forecast, Risk, Scenario } from '#schemas'
import type { AnomalyDetector, KnownEvent, LiveForecaster } from '#core/forecasting'
import { LEVELS } from '#core/math'
import { assessRisk, type TrackedRisks } from '#core/risk'
import { eventEvidence } from './event-evidence.ts'
import type { Series, SeriesSettings } from './series.ts'

const RISK_VERSION = 'online-2'

/** One series of one round, with what forecasts it. */
export interface SeriesIssue {
  readonly settings: SeriesSettings
  readonly series: Series
  readonly forecaster: LiveForecaster
  readonly issuedMs: number
  /** Quantiles of step h, level l at `(h - 1) * LEVELS + l`. */
  readonly quantiles: Float64Array
  /** Known by now, near enough to be felt. */
  readonly events: readonly KnownEvent[]
}

const idOf = ({ settings, series, issuedMs }: SeriesIssue) => ({
  scope: settings.scope,
  entity: series.entity,
  metric: series.metric,
  issued_at_ms: issuedMs,
})

/** The forecasts to publish, one per step. */
export function forecastRecords(issue: SeriesIssue): Forecast[] {
  const { settings, forecaster, issuedMs, quantiles } = issue
  const { windowMs, publishSteps } = settings
  return publishSteps.map((step) => {
    const level = (i: number) => quantiles[(step - 1) * LEVELS + i] as number
    return {
      ...idOf(issue),
      target_ms: issuedMs + step * windowMs,
      horizon_ms: step * windowMs,
      q025: level(0),
      q10: level(1),
      q50: level(2),
      q90: level(3),
      q975: level(4),
      q99: level(5),
      seasonal_naive: forecaster.seasonalNaive(step),
      scale: forecaster.scale,
      model: forecaster.modelName,
      model_version: forecaster.modelVersion,
    }
  })
}

/** Joint draws one step ahead, aligned by their origins; undefined while the series has none of its own since `beganMs`. */
export function scenarioRecord(
  issue: SeriesIssue,
  origins: Float64Array,
  beganMs: number,
  buffer: Float64Array,
): Scenario | undefined {
  const { settings, forecaster, issuedMs, events } = issue
  const own = origins.findLastIndex((origin) => origin > beganMs) + 1
  if (own <= 0 || forecaster.draws(origins, 1, buffer, events) < 0) return undefined
  // A young series repeats the errors it has, so that none counts for all the time before it began.
  return {
    ...idOf(issue),
    target_ms: issuedMs + settings.windowMs,
    draws: Array.from(origins, (_, k) => buffer[k % own] as number),
    origins: Array.from(origins, (_, k) => origins[k % own] as number),
  }
}

/** The risk that the series crosses its limit within the horizon; `risks` calibrates it by what came of earlier ones. */
export function riskRecord(
  issue: SeriesIssue,
  key: string,
  limit: number,
  anomaly: AnomalyDetector,
  risks: TrackedRisks,
): Risk {
  const { settings, series, forecaster, issuedMs, quantiles, events } = issue
  const { windowMs, horizon } = settings
  const { score, direction, feature } = anomaly
  const horizonMs = horizon * windowMs
  const assessed = assessRisk({
    entity: series.entity,
    issuedAtMs: issuedMs,
    stepMs: windowMs,
    steps: horizon,
    quantiles,
    limit,
    side: series.side,
    last: series.value,
    unit: series.unit,
    anomaly: { score, direction, feature },
    events: eventEvidence(forecaster.model.effects, events, issuedMs, horizonMs),
  })
  const said = { issuedAtMs: issuedMs, horizonMs, raw: assessed.rawProbability, limit, side: series.side }
  return {
    ...idOf(issue),
    horizon_ms: horizonMs,
    probability: risks.issue(key, said),
    limit,
    q10: assessed.q10,
    q50: assessed.q50,
    q90: assessed.q90,
    anomaly_score: score,
    anomaly_direction: direction,
    anomaly_metric: feature,
    drivers: [...assessed.drivers],
    model_version: `${forecaster.modelVersion}/${RISK_VERSION}`,
  }
}
