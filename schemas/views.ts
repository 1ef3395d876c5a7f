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
WHERE NOT incomplete
UNION ALL
SELECT region AS entity, 'rtt_ms' AS metric, window_start_ms, window_end_ms, rtt_ms_mean AS value
FROM features_regions FINAL
WHERE NOT incomplete AND up_ratio > 0
UNION ALL
SELECT region AS entity, 'usable_bytes_per_second' AS metric, window_start_ms, window_end_ms,
  capacity_bytes_per_second_min * up_ratio * (1 - loss_ratio_mean) * (1 - error_ratio_mean) AS value
FROM features_regions FINAL
WHERE NOT incomplete AND capacity_bytes_per_second_min > 0`.trim()

/**
 * A stream that is not in a window carried nothing: its forecast is scored against 0 once every partition has closed that window,
 * unless the window is known to be incomplete.
 */
const OUTCOMES = `
SELECT
  f.scope AS scope, f.entity AS entity, f.metric AS metric, f.model AS model, f.model_version AS model_version,
  f.issued_at_ms AS issued_at_ms, f.target_ms AS target_ms, f.horizon_ms AS horizon_ms,
  f.q025 AS q025, f.q10 AS q10, f.q50 AS q50, f.q90 AS q90, f.q975 AS q975, f.q99 AS q99,
  f.seasonal_naive AS seasonal_naive, f.scale AS scale,
  ifNull(o.value, 0) AS observed,
  observed - q50 AS error,
  observed - seasonal_naive AS seasonal_naive_error,
  observed BETWEEN q10 AND q90 AS within_80,
  observed BETWEEN q025 AND q975 AS within_95,
  (
    greatest(0.025 * (observed - q025), -0.975 * (observed - q025))
    + greatest(0.1 * (observed - q10), -0.9 * (observed - q10))
    + greatest(0.5 * (observed - q50), -0.5 * (observed - q50))
    + greatest(0.9 * (observed - q90), -0.1 * (observed - q90))
    + greatest(0.975 * (observed - q975), -0.025 * (observed - q975))
    + greatest(0.99 * (observed - q99), -0.01 * (observed - q99))
  ) / 6 AS pinball,
  q975 - q025 + 40 * (greatest(0, q025 - observed) + greatest(0, observed - q975)) AS interval_score
FROM forecasts_traffic AS f FINAL
LEFT JOIN (
  SELECT entity, metric, window_end_ms, toNullable(value) AS value FROM observed_series
) AS o
  ON f.entity = o.entity AND f.metric = o.metric AND f.target_ms = o.window_end_ms
WHERE o.value IS NOT NULL OR (
  f.metric = 'bytes_per_second'
  AND f.target_ms <= (
    SELECT min(closed) FROM (SELECT max(window_end_ms) AS closed FROM features_streams GROUP BY kafka_partition)
  )
  AND (f.entity, f.target_ms) NOT IN (SELECT stream, window_end_ms FROM features_streams WHERE incomplete)
)`.trim()

const ACCURACY = `
SELECT
  scope, entity, metric, model, model_version, horizon_ms,
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
GROUP BY scope, entity, metric, model, model_version, horizon_ms`.trim()

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
