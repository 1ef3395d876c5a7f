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

const OBSERVED = `
SELECT stream AS entity, series.1 AS metric, window_start_ms, window_end_ms, series.2 AS value
FROM features_streams FINAL
ARRAY JOIN [
  ('bytes', bytes),
  ('packets', packets),
  ('bytes_per_second', bytes_per_second),
  ('packet_bytes_mean', packet_bytes_mean),
  ('sources', sources),
  ('destinations', destinations)
] AS series
WHERE NOT incomplete
UNION ALL
SELECT region AS entity, series.1 AS metric, window_start_ms, window_end_ms, series.2 AS value
FROM features_regions FINAL
ARRAY JOIN [
  ('up_ratio', up_ratio),
  ('rtt_ms_mean', rtt_ms_mean),
  ('rtt_ms_p95', rtt_ms_p95),
  ('jitter_ms_mean', jitter_ms_mean),
  ('loss_ratio_mean', loss_ratio_mean),
  ('error_ratio_mean', error_ratio_mean),
  ('bytes_per_second_mean', bytes_per_second_mean)
] AS series
WHERE NOT incomplete`.trim()

const OUTCOMES = `
SELECT
  f.scope AS scope, f.entity AS entity, f.metric AS metric, f.model AS model, f.model_version AS model_version,
  f.issued_at_ms AS issued_at_ms, f.target_ms AS target_ms, f.horizon_ms AS horizon_ms,
  f.q025 AS q025, f.q10 AS q10, f.q50 AS q50, f.q90 AS q90, f.q975 AS q975, f.q99 AS q99,
  o.value AS observed,
  o.value - f.q50 AS error,
  o.value BETWEEN f.q10 AND f.q90 AS within_80,
  o.value BETWEEN f.q025 AND f.q975 AS within_95,
  (
    greatest(0.1 * (o.value - f.q10), -0.9 * (o.value - f.q10))
    + greatest(0.5 * (o.value - f.q50), -0.5 * (o.value - f.q50))
    + greatest(0.9 * (o.value - f.q90), -0.1 * (o.value - f.q90))
  ) / 3 AS pinball
FROM forecasts_traffic AS f FINAL
INNER JOIN observed_series AS o
  ON f.entity = o.entity AND f.metric = o.metric AND f.target_ms = o.window_end_ms`.trim()

const ACCURACY = `
SELECT
  scope, entity, metric, model, horizon_ms,
  count() AS forecasts,
  sum(abs(error)) / nullIf(sum(abs(observed)), 0) AS wape,
  avg(error) AS bias,
  avg(within_80) AS coverage_80,
  avg(within_95) AS coverage_95,
  avg(pinball) AS pinball_mean
FROM forecast_outcomes
GROUP BY scope, entity, metric, model, horizon_ms`.trim()

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
    doc: 'Every forecast beside what happened: error, whether the intervals held, mean pinball loss of q10, q50 and q90.',
    select: OUTCOMES,
  },
  {
    name: 'forecast_accuracy',
    doc: 'Accuracy per series, model and horizon: WAPE, bias, coverage of the 80 % and 95 % intervals, mean pinball loss.',
    select: ACCURACY,
  },
]
