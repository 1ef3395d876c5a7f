/** How the forecasts of one subsystem are scored. */
interface Scored {
  readonly subsystem: string
  /** The table of its forecasts. */
  readonly forecasts: string
  /** What happened: selects of `entity, metric, window_start_ms, window_end_ms, value`, complete windows only. */
  readonly observed: readonly string[]
  /** SQL over a forecast `f` of which no value was seen: true where that means 0. */
  readonly absentIsZero: string
}

const pairs = (columns: readonly string[]): string =>
  columns.map((column) => `  ('${column}', ${column})`).join(',\n')

/** A series for each of these columns of a table of features. */
const columnsOf = (table: string, entity: string, columns: readonly string[]): string =>
  `
SELECT ${entity} AS entity, series.1 AS metric, window_start_ms, window_end_ms, series.2 AS value
FROM ${table} FINAL
ARRAY JOIN [
${pairs(columns)}
] AS series
WHERE NOT incomplete`.trim()

const STREAMS = [
  'bytes',
  'packets',
  'bytes_per_second',
  'packet_bytes_mean',
  'sources',
  'destinations',
] as const
const REGIONS = [
  'up_ratio',
  'rtt_ms_mean',
  'rtt_ms_p95',
  'jitter_ms_mean',
  'loss_ratio_mean',
  'error_ratio_mean',
  'bytes_per_second_mean',
] as const

/** Every subsystem whose forecasts are scored; a further one is an entry here. */
const SCORED: readonly Scored[] = [
  {
    subsystem: 'traffic-routing',
    forecasts: 'forecasts_traffic',
    observed: [
      columnsOf('features_streams', 'stream', STREAMS),
      columnsOf('features_regions', 'region', REGIONS),
      `
SELECT region AS entity, 'rtt_ms' AS metric, window_start_ms, window_end_ms, rtt_ms_mean AS value
FROM features_regions FINAL
WHERE NOT incomplete AND up_ratio > 0`.trim(),
      `
SELECT region AS entity, 'usable_bytes_per_second' AS metric, window_start_ms, window_end_ms,
  capacity_bytes_per_second_min * up_ratio * (1 - loss_ratio_mean) * (1 - error_ratio_mean) AS value
FROM features_regions FINAL
WHERE NOT incomplete AND capacity_bytes_per_second_min > 0`.trim(),
    ],
    // A stream that is not in a window carried nothing, once every partition has closed that window.
    absentIsZero: `
  f.metric = 'bytes_per_second'
  AND f.target_ms <= (
    SELECT min(closed) FROM (SELECT max(window_end_ms) AS closed FROM features_streams GROUP BY kafka_partition)
  )
  AND (f.entity, f.target_ms) NOT IN (SELECT stream, window_end_ms FROM features_streams WHERE incomplete)`.trim(),
  },
  {
    subsystem: 'data-sharding',
    forecasts: 'forecasts_data',
    observed: [
      `
SELECT service_id AS entity, 'work' AS metric, window_start_ms, window_end_ms, work AS value
FROM features_services FINAL
WHERE NOT incomplete`.trim(),
      // Named as the entities of decisions: `service/017`.
      `
SELECT concat(service_id, '/', leftPad(toString(segment - 1), 3, '0')) AS entity, 'work' AS metric,
  window_start_ms, window_end_ms, value
FROM features_services FINAL
ARRAY JOIN segment_work AS value, arrayEnumerate(segment_work) AS segment
WHERE NOT incomplete`.trim(),
    ],
    // A window of other services in which this one did nothing; one without any query is a gap.
    absentIsZero: `
  f.target_ms IN (SELECT window_end_ms FROM features_services)
  AND (splitByChar('/', f.entity)[1], f.target_ms) NOT IN (SELECT service_id, window_end_ms FROM features_services)`.trim(),
  },
]

/** What happened, whatever it was forecast by. */
export const OBSERVED: string = SCORED.flatMap(({ observed }) => observed).join('\nUNION ALL\n')

const outcomesOf = ({ subsystem, forecasts, observed, absentIsZero }: Scored): string =>
  `
SELECT
  '${subsystem}' AS subsystem,
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
FROM ${forecasts} AS f FINAL
LEFT JOIN (
  SELECT entity, metric, window_end_ms, toNullable(value) AS value FROM (
${observed.join('\nUNION ALL\n')}
  )
) AS o
  ON f.entity = o.entity AND f.metric = o.metric AND f.target_ms = o.window_end_ms
WHERE o.value IS NOT NULL OR (
  ${absentIsZero}
)`.trim()

/** Every forecast issued beside what happened. */
export const OUTCOMES: string = SCORED.map(outcomesOf).join('\nUNION ALL\n')
