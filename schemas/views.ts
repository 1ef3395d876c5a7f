import { OBSERVED, OUTCOMES } from './scoring.ts'

/** A ClickHouse view over the tables. */
export interface ViewSpec {
  readonly name: string
  readonly doc: string
  /** The SELECT, after `CREATE VIEW name AS`. */
  readonly select: string
}

const STANDING = `
SELECT *, ifNull(expires_at_ms <= now64(3), false) AS expired
FROM (
  SELECT * FROM decisions FINAL
  ORDER BY decision_topic, entity, kafka_offset DESC
  LIMIT 1 BY decision_topic, entity
)
WHERE NOT tombstone`.trim()

const ACCURACY = `
SELECT
  subsystem, scope, entity, metric, model, model_version, horizon_ms,
  count() AS forecasts,
  min(issued_at_ms) AS from_ms,
  max(issued_at_ms) AS to_ms,
  avg(abs(error)) / nullIf(avg(scale), 0) AS mase,
  avg(abs(seasonal_naive_error)) / nullIf(avg(scale), 0) AS seasonal_naive_mase,
  avg(abs(error)) / nullIf(avgIf(abs(seasonal_naive_error), seasonal_naive IS NOT NULL), 0) AS against_seasonal_naive,
  avg(pinball) / nullIf(avg(scale), 0) AS scaled_pinball,
  avg(interval_score) / nullIf(avg(scale), 0) AS msis,
  sum(abs(error)) / nullIf(sum(abs(observed)), 0) AS wape,
  avg(error) AS bias,
  avg(within_80) AS coverage_80,
  avg(within_95) AS coverage_95,
  avg(pinball) AS pinball_mean
FROM forecast_outcomes
GROUP BY subsystem, scope, entity, metric, model, model_version, horizon_ms`.trim()

/** Every view; a later one may read an earlier one, so they are created in this order. */
export const VIEWS: readonly ViewSpec[] = [
  {
    name: 'decisions_standing',
    doc: 'The latest decision of each entity that has not been withdrawn; `expired` says whether followers have fallen back.',
    select: STANDING,
  },
  {
    name: 'observed_series',
    doc: 'What happened: one row per entity, metric and complete window.',
    select: OBSERVED,
  },
  {
    name: 'forecast_outcomes',
    doc: 'Every forecast beside what happened: errors of its median and of the seasonal naive, whether the intervals held, mean pinball loss of its six quantiles, interval score of the 95 % interval.',
    select: OUTCOMES,
  },
  {
    name: 'forecast_accuracy',
    doc: 'Accuracy per series, model version and horizon: MASE beside that of the seasonal naive, pinball, MSIS, WAPE, bias, coverage of the 80 % and 95 % intervals.',
    select: ACCURACY,
  },
]
