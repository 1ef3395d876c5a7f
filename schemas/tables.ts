import { type ColumnSpec, deriveColumns, KAFKA_COLUMNS, TOMBSTONE } from './columns.ts'
import type { RecordName } from './records.ts'

export type { ColumnSpec } from './columns.ts'

/**
 * One ClickHouse table: a ReplacingMergeTree, so that a record written again (another attempt, a
 * replay of the dead letters) replaces itself. Rows of a replay belong into a database of their own.
 */
export interface TableSpec {
  readonly name: string
  /** Topics that fill it, without prefix; a trailing `*` means every topic that begins so. */
  readonly topics: readonly string[]
  /** The record whose fields the columns name; the topics of one table share these fields. */
  readonly record: RecordName
  readonly columns: readonly ColumnSpec[]
  /** Sorting key: rows equal in all of it are the same row. */
  readonly orderBy: readonly string[]
  /** SQL expression. */
  readonly partitionBy?: string
  /** SQL expression. No table has one by default: event time may be that of a replay. */
  readonly ttl?: string
  /** Column of which the highest value wins among the same rows. */
  readonly version: string
  readonly doc: string
}

const NAME = { type: 'LowCardinality(String)' } as const
const KEY = { from: '@key' } as const
const byMonth = (column: string): string => `toYYYYMM(${column})`

const TOPIC: ColumnSpec = {
  name: 'decision_topic',
  type: 'LowCardinality(String)',
  from: '@topic',
  doc: 'The topic of the decision.',
}

/** Every table, in the order of the flow. */
export const TABLES: readonly TableSpec[] = [
  {
    name: 'features_streams',
    topics: ['features.streams'],
    record: 'StreamFeature',
    columns: [...deriveColumns('StreamFeature', { overrides: { stream: NAME } }), ...KAFKA_COLUMNS],
    orderBy: ['stream', 'window_start_ms', 'window_end_ms'],
    partitionBy: byMonth('window_start_ms'),
    version: 'kafka_offset',
    doc: 'What each stream did, window by window.',
  },
  {
    name: 'features_regions',
    topics: ['features.regions'],
    record: 'RegionFeature',
    columns: [...deriveColumns('RegionFeature', { overrides: { region: NAME } }), ...KAFKA_COLUMNS],
    orderBy: ['region', 'window_start_ms', 'window_end_ms'],
    partitionBy: byMonth('window_start_ms'),
    version: 'kafka_offset',
    doc: 'What the probes saw of each region, window by window.',
  },
  {
    name: 'forecasts_traffic',
    topics: ['forecasts.traffic'],
    record: 'Forecast',
    columns: [
      ...deriveColumns('Forecast', {
        overrides: { scope: NAME, entity: NAME, metric: NAME, model: NAME, model_version: NAME },
      }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['scope', 'entity', 'metric', 'issued_at_ms', 'target_ms'],
    partitionBy: byMonth('issued_at_ms'),
    version: 'kafka_offset',
    doc: 'Every forecast issued: one row per series, time of issue and target.',
  },
  {
    name: 'scenarios_traffic',
    topics: ['scenarios.traffic'],
    record: 'Scenario',
    columns: [
      ...deriveColumns('Scenario', { overrides: { scope: NAME, entity: NAME, metric: NAME } }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['scope', 'issued_at_ms', 'target_ms', 'entity', 'metric'],
    partitionBy: byMonth('issued_at_ms'),
    version: 'kafka_offset',
    doc: 'Joint draws: `draws[k]` of all series of a scope, issue and target belong together.',
  },
  {
    name: 'risks_traffic',
    topics: ['risks.traffic'],
    record: 'Risk',
    columns: [
      ...deriveColumns('Risk', {
        overrides: { scope: NAME, entity: NAME, metric: NAME, anomaly_metric: NAME, model_version: NAME },
      }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['scope', 'entity', 'metric', 'issued_at_ms', 'horizon_ms'],
    partitionBy: byMonth('issued_at_ms'),
    version: 'kafka_offset',
    doc: 'Every risk issued, with its drivers.',
  },
  {
    name: 'features_queries',
    topics: ['features.queries'],
    record: 'QueryFeature',
    columns: [
      ...deriveColumns('QueryFeature', { overrides: { service_id: NAME, operation_id: NAME } }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['pattern', 'window_start_ms', 'window_end_ms'],
    partitionBy: byMonth('window_start_ms'),
    version: 'kafka_offset',
    doc: 'What queries of each pattern did, window by window.',
  },
  {
    name: 'features_services',
    topics: ['features.services'],
    record: 'ServiceFeature',
    columns: [...deriveColumns('ServiceFeature', { overrides: { service_id: NAME } }), ...KAFKA_COLUMNS],
    orderBy: ['service_id', 'window_start_ms', 'window_end_ms'],
    partitionBy: byMonth('window_start_ms'),
    version: 'kafka_offset',
    doc: 'Work of each service by segment, window by window.',
  },
  {
    name: 'features_pipelines',
    topics: ['features.pipelines'],
    record: 'PipelineFeature',
    columns: [...deriveColumns('PipelineFeature', { overrides: { pipeline_id: NAME } }), ...KAFKA_COLUMNS],
    orderBy: ['pipeline_id', 'window_start_ms', 'window_end_ms'],
    partitionBy: byMonth('window_start_ms'),
    version: 'kafka_offset',
    doc: 'What each instance reported, window by window.',
  },
  {
    name: 'forecasts_data',
    topics: ['forecasts.data'],
    record: 'Forecast',
    columns: [
      ...deriveColumns('Forecast', {
        overrides: { scope: NAME, entity: NAME, metric: NAME, model: NAME, model_version: NAME },
      }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['scope', 'entity', 'metric', 'issued_at_ms', 'target_ms'],
    partitionBy: byMonth('issued_at_ms'),
    version: 'kafka_offset',
    doc: 'Every forecast of work per segment and service.',
  },
  {
    name: 'forecasts_patterns',
    topics: ['forecasts.patterns'],
    record: 'QueryPattern',
    columns: [
      ...deriveColumns('QueryPattern', {
        overrides: {
          service_id: NAME,
          operation_id: NAME,
          segment_id: NAME,
          model: NAME,
          model_version: NAME,
        },
      }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['pattern', 'issued_at_ms', 'interval_start_ms'],
    partitionBy: byMonth('issued_at_ms'),
    version: 'kafka_offset',
    doc: 'Probability of each query pattern, interval by interval.',
  },
  {
    name: 'risks_data',
    topics: ['risks.data'],
    record: 'Risk',
    columns: [
      ...deriveColumns('Risk', {
        overrides: { scope: NAME, entity: NAME, metric: NAME, anomaly_metric: NAME, model_version: NAME },
      }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['scope', 'entity', 'metric', 'issued_at_ms', 'horizon_ms'],
    partitionBy: byMonth('issued_at_ms'),
    version: 'kafka_offset',
    doc: 'Every risk of an overloaded instance, with its drivers.',
  },
  {
    name: 'decisions',
    topics: ['decisions.*'],
    record: 'ShardDecision',
    columns: [
      TOPIC,
      ...deriveColumns('ShardDecision', {
        asJson: ['body'],
        overrides: { entity: { ...NAME, ...KEY }, subsystem: NAME },
      }),
      TOMBSTONE,
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['decision_topic', 'entity', 'kafka_partition', 'kafka_offset'],
    // Not by issued_at_ms: a tombstone has none.
    partitionBy: byMonth('kafka_timestamp_ms'),
    version: 'kafka_offset',
    doc: 'Every decision ever written, tombstones included: the envelope as columns, the body as JSON.',
  },
  {
    name: 'acks_decisions',
    topics: ['acks.decisions'],
    record: 'Ack',
    columns: [
      ...deriveColumns('Ack', { overrides: { decision_topic: NAME, follower: NAME } }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['decision_topic', 'entity', 'epoch', 'follower', 'kafka_partition', 'kafka_offset'],
    partitionBy: byMonth('at_ms'),
    version: 'kafka_offset',
    doc: 'Every acknowledgement of every follower.',
  },
  {
    name: 'moves_data',
    topics: ['state.data.moves'],
    record: 'DataMoveState',
    columns: [
      ...deriveColumns('DataMoveState', { overrides: { move_id: KEY, service: NAME, from: NAME, to: NAME } }),
      TOMBSTONE,
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['move_id', 'kafka_partition', 'kafka_offset'],
    version: 'kafka_offset',
    doc: 'Every phase of every move of a segment.',
  },
  {
    name: 'models',
    topics: ['models'],
    record: 'Model',
    columns: [
      { name: 'series', type: 'String', from: '@key', doc: 'The key: `scope|entity|metric`.' },
      ...deriveColumns('Model', {
        omit: ['state', 'features', 'profile'],
        overrides: { scope: NAME, entity: NAME, metric: NAME, kind: NAME, model: NAME },
      }),
      TOMBSTONE,
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['series', 'kafka_partition', 'kafka_offset'],
    version: 'kafka_offset',
    doc: 'Every champion that any series has had, with its evidence; the parameters themselves stay in the topic.',
  },
  {
    name: 'alerts_forecasts',
    topics: ['alerts.forecasts'],
    record: 'ForecastAlert',
    columns: [
      { name: 'series', type: 'String', from: '@key', doc: 'The key: `scope|entity|metric|horizon_ms`.' },
      ...deriveColumns('ForecastAlert', {
        overrides: { scope: NAME, entity: NAME, metric: NAME, model: NAME, model_version: NAME },
      }),
      TOMBSTONE,
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['series', 'kafka_partition', 'kafka_offset'],
    version: 'kafka_offset',
    doc: 'Every alert about a model that was worse than the seasonal naive, and when it was over (tombstone).',
  },
  {
    name: 'events_calendar',
    topics: ['events.calendar'],
    record: 'CalendarEvent',
    columns: [
      ...deriveColumns('CalendarEvent', { overrides: { event_id: KEY, kind: NAME, source: NAME } }),
      TOMBSTONE,
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['event_id', 'kafka_partition', 'kafka_offset'],
    version: 'kafka_offset',
    doc: 'Every revision of every event.',
  },
  {
    name: 'dead_letters',
    topics: ['dlq.*'],
    record: 'DeadLetter',
    columns: [
      ...deriveColumns('DeadLetter', { overrides: { topic: NAME, reason_code: NAME, topology: NAME } }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['topic', 'partition', 'offset', 'topology'],
    version: 'kafka_offset',
    doc: 'Records that could not be used, with their bytes and the reason.',
  },
  {
    name: 'audit_offsets',
    topics: ['audit.offsets'],
    record: 'OffsetLedger',
    columns: [
      ...deriveColumns('OffsetLedger', { overrides: { topology: NAME, node: NAME, topic: NAME } }),
      ...KAFKA_COLUMNS,
    ],
    orderBy: ['topology', 'node', 'topic', 'partition', 'from_offset', 'to_offset'],
    partitionBy: byMonth('at_ms'),
    version: 'kafka_offset',
    doc: 'The account of every commit: accepted, late, dead and skipped add up to the records read.',
  },
]

/** The table of a name. Throws RangeError if there is none. */
export function tableSpec(name: string): TableSpec {
  const found = TABLES.find((t) => t.name === name)
  if (found === undefined) throw new RangeError(`Table ${name} is not declared in schemas/tables.ts.`)
  return found
}

/** True if the topic (without prefix) fills the table. */
export const fillsTable = (table: TableSpec, topic: string): boolean =>
  table.topics.some((t) => (t.endsWith('*') ? topic.startsWith(t.slice(0, -1)) : t === topic))
