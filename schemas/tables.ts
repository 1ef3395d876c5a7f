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
  /**
   * Rows are deleted by the age of this column, which is the one of `partitionBy` if there is any, after few days or
   * many; absent: never. Only in databases of live rows: the event time of a replay is long past.
   */
  readonly retention?: { readonly column: string; readonly kept: 'short' | 'long' }
  /** Column of which the highest value wins among the same rows. */
  readonly version: string
  readonly doc: string
}

const NAME = { type: 'LowCardinality(String)' } as const
const KEY = { from: '@key' } as const
/** In months by a column, and kept by its age. */
const aged = (column: string, kept: 'short' | 'long') => ({
  partitionBy: `toYYYYMM(${column})`,
  retention: { column, kept },
})

const TOPIC: ColumnSpec = {
  name: 'decision_topic',
  type: 'LowCardinality(String)',
  from: '@topic',
  doc: 'The topic of the decision.',
}

/** A table of what one topic holds, by month; columns in `names` have few different values. */
function table(
  topic: string,
  record: RecordName,
  month: string,
  orderBy: readonly string[],
  names: readonly string[],
  doc: string,
): TableSpec {
  const overrides = Object.fromEntries(names.map((name) => [name, NAME]))
  return {
    name: topic.replaceAll('.', '_'),
    topics: [topic],
    record,
    columns: [...deriveColumns(record, { overrides }), ...KAFKA_COLUMNS],
    orderBy,
    ...aged(month, 'short'),
    version: 'kafka_offset',
    doc,
  }
}

/** Windows of one kind; `key` names what they are about, and is sorted by. */
const features = (
  topic: string,
  record: RecordName,
  key: string,
  names: readonly string[],
  doc: string,
): TableSpec => table(topic, record, 'window_start_ms', [key, 'window_start_ms', 'window_end_ms'], names, doc)

/** What is issued of series, to be scored: forecasts, scenarios, risks. */
const issued = (
  topic: string,
  record: RecordName,
  orderBy: readonly string[],
  names: readonly string[],
  doc: string,
): TableSpec => table(topic, record, 'issued_at_ms', orderBy, names, doc)

const SERIES = ['scope', 'entity', 'metric']
const forecasts = (topic: string, doc: string): TableSpec =>
  issued(
    topic,
    'Forecast',
    [...SERIES, 'issued_at_ms', 'target_ms'],
    [...SERIES, 'model', 'model_version'],
    doc,
  )
const risks = (topic: string, doc: string): TableSpec =>
  issued(
    topic,
    'Risk',
    [...SERIES, 'issued_at_ms', 'horizon_ms'],
    [...SERIES, 'anomaly_metric', 'model_version'],
    doc,
  )

/** Every table, in the order of the flow. */
export const TABLES: readonly TableSpec[] = [
  features(
    'features.streams',
    'StreamFeature',
    'stream',
    ['stream'],
    'What each stream did, window by window.',
  ),
  features(
    'features.regions',
    'RegionFeature',
    'region',
    ['region'],
    'What the probes saw of each region, window by window.',
  ),
  forecasts('forecasts.traffic', 'Every forecast issued: one row per series, time of issue and target.'),
  issued(
    'scenarios.traffic',
    'Scenario',
    ['scope', 'issued_at_ms', 'target_ms', 'entity', 'metric'],
    SERIES,
    'Joint draws: `draws[k]` of all series of a scope, issue and target belong together.',
  ),
  risks('risks.traffic', 'Every risk issued, with its drivers.'),
  features(
    'features.queries',
    'QueryFeature',
    'pattern',
    ['service_id', 'operation_id'],
    'What queries of each pattern did, window by window.',
  ),
  features(
    'features.services',
    'ServiceFeature',
    'service_id',
    ['service_id'],
    'Work of each service by segment, window by window.',
  ),
  features(
    'features.pipelines',
    'PipelineFeature',
    'pipeline_id',
    ['pipeline_id'],
    'What each instance reported, window by window.',
  ),
  forecasts('forecasts.data', 'Every forecast of work per segment and service.'),
  issued(
    'forecasts.patterns',
    'QueryPattern',
    ['pattern', 'issued_at_ms', 'interval_start_ms'],
    ['service_id', 'operation_id', 'segment_id', 'model', 'model_version'],
    'Probability of each query pattern, interval by interval.',
  ),
  risks('risks.data', 'Every risk of an overloaded instance, with its drivers.'),
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
    ...aged('kafka_timestamp_ms', 'long'),
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
    ...aged('at_ms', 'long'),
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
    retention: { column: 'kafka_timestamp_ms', kept: 'long' },
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
    retention: { column: 'kafka_timestamp_ms', kept: 'long' },
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
    ...aged('at_ms', 'short'),
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
