import type { RecordName } from './records.ts'

/** What a topic is: its key, its record and how long it keeps them. */
export interface TopicDefinition {
  /** Name without the prefix of a replay. */
  readonly name: string
  /** What the key is, in words. */
  readonly key: string
  /** The field of the record that is the key, as UTF-8; null if the key is made of several or is not ours. */
  readonly keyField: string | null
  /** The record of its values. Null: several kinds, or not ours. */
  readonly record: RecordName | null
  readonly partitions: number
  readonly compacted: boolean
  /** Bytes kept per partition; -1: everything (compacted topics). */
  readonly retentionBytes: number
  /**
   * Records carry event time, which a replay also uses as Kafka timestamp. No topic at all has a retention by
   * time: a replay of 2004 would be deleted as it is written, and the clocks of followers may be replayed too.
   */
  readonly eventTime: boolean
  readonly doc: string
}

/** A topic to create, in the shape of the broker port. */
export interface TopicToCreate {
  name: string
  partitions: number
  /** Absent: the broker's default. */
  replicationFactor?: number
  configs: Record<string, string>
}

const GIB = 2 ** 30
const KEEP_ALL = -1
const TOMBSTONES_KEPT_MS = 7 * 86_400_000

function log(
  name: string,
  record: RecordName | null,
  keyField: string | null,
  key: string,
  doc: string,
  more: { partitions?: number; gib?: number; eventTime?: boolean } = {},
): TopicDefinition {
  const { partitions = 1, gib = 1, eventTime = true } = more
  return {
    name,
    key,
    keyField,
    record,
    partitions,
    compacted: false,
    retentionBytes: gib * GIB,
    eventTime,
    doc,
  }
}

function compacted(
  name: string,
  record: RecordName | null,
  keyField: string | null,
  key: string,
  doc: string,
): TopicDefinition {
  return {
    name,
    key,
    keyField,
    record,
    partitions: 1,
    compacted: true,
    retentionBytes: KEEP_ALL,
    eventTime: false,
    doc,
  }
}

/** Every topic except the dead letters (see `deadLetterTopic`), in the order of the flow. */
const LIVE_TOPICS: readonly TopicDefinition[] = [
  log(
    'telemetry.flows',
    'Flow',
    'stream',
    'The stream; other or null keys are accepted.',
    'Traffic flows, from adapters or your producers.',
    {
      partitions: 4,
      gib: 4,
    },
  ),
  log(
    'telemetry.regions',
    'RegionProbe',
    'region',
    'The region; other or null keys are accepted.',
    'Probes of regions.',
    {
      partitions: 2,
    },
  ),
  compacted(
    'events.calendar',
    'CalendarEvent',
    'event_id',
    'The event; a tombstone forgets it.',
    'What is known in advance.',
  ),
  log(
    'features.streams',
    'StreamFeature',
    'stream',
    'The stream.',
    'What each stream did, window by window.',
    { partitions: 4 },
  ),
  log(
    'features.regions',
    'RegionFeature',
    'region',
    'The region.',
    'What the probes saw, window by window.',
    { partitions: 2 },
  ),
  log('forecasts.traffic', 'Forecast', 'entity', 'Stream or region.', 'Quantiles per series and horizon.'),
  log('scenarios.traffic', 'Scenario', 'entity', 'Stream or region.', 'Joint draws per series and horizon.', {
    gib: 4,
  }),
  log('risks.traffic', 'Risk', 'entity', 'Stream or region.', 'Calibrated risk per series.'),
  compacted(
    'decisions.traffic.shards',
    'ShardDecision',
    'entity',
    'The stream; a tombstone means back to the default.',
    'How each stream is cut into shards.',
  ),
  compacted(
    'decisions.traffic.routes',
    'RouteDecision',
    'entity',
    'The stream; a tombstone means back to the default.',
    'Which paths carry the shards of each stream.',
  ),
  log(
    'logs.queries',
    'QueryLog',
    'pattern',
    'The pattern; other or null keys are accepted.',
    'Queries that services answered, from query logs, the router or your producers.',
    { partitions: 4, gib: 4 },
  ),
  log(
    'telemetry.pipelines',
    'PipelineState',
    'pipeline_id',
    'The instance; other or null keys are accepted.',
    'Load and capacity of instances.',
  ),
  log(
    'features.queries',
    'QueryFeature',
    'pattern',
    'The pattern.',
    'Queries by pattern, window by window.',
    {
      partitions: 4,
    },
  ),
  log(
    'features.services',
    'ServiceFeature',
    'service_id',
    'The service.',
    'Work by service and segment, window by window.',
  ),
  log(
    'features.pipelines',
    'PipelineFeature',
    'pipeline_id',
    'The instance.',
    'Load of instances, window by window.',
  ),
  log(
    'forecasts.data',
    'Forecast',
    'entity',
    'Segment (`service/017`) or service.',
    'Quantiles of work per window.',
  ),
  log(
    'forecasts.patterns',
    'QueryPattern',
    'pattern',
    'The pattern.',
    'Probability of each query pattern, interval by interval.',
    { partitions: 4 },
  ),
  log(
    'risks.data',
    'Risk',
    'entity',
    'The service.',
    'Risk that an instance is overloaded, with its drivers.',
  ),
  compacted(
    'decisions.data.shards',
    'DataShardDecision',
    'entity',
    'The segment: `service/017`; a tombstone means back to the default.',
    'On which instances each segment of a service lies.',
  ),
  compacted(
    'decisions.data.scale',
    'DataScaleDecision',
    'entity',
    'The service; a tombstone means back to the default.',
    'How many instances each service needs.',
  ),
  log(
    'writes.data',
    null,
    null,
    'The block.',
    'The write log of the sharded tables of a service (`WriteBlock`), named `writes.data.<service>`: segment s lies in partition s mod partitions. Replicas apply it in order.',
    { partitions: 4, gib: 16, eventTime: false },
  ),
  compacted(
    'state.traffic.processors',
    null,
    null,
    '`token/<stream>` or `region/<region>`.',
    'Which region processes which stream, and from where: see design/stream-handover.md.',
  ),
  compacted(
    'state.data.moves',
    'DataMoveState',
    'move_id',
    'The move; a tombstone forgets one that is over.',
    'How far each move of a segment has come.',
  ),
  compacted(
    'state.query-log',
    null,
    null,
    'The server, as its poller is named.',
    'Up to where the query log of each server has been read.',
  ),
  log(
    'processed.traffic',
    null,
    null,
    'As in `telemetry.flows`.',
    'What the regional processors made of the flows; header `forestall.region` says which one.',
    { partitions: 4 },
  ),
  log('acks.decisions', 'Ack', 'entity', 'What was decided about.', 'What followers did with decisions.', {
    eventTime: false,
  }),
  log(
    'audit.offsets',
    'OffsetLedger',
    'topology',
    'The topology.',
    'What became of every input record, commit by commit.',
    { eventTime: false },
  ),
  compacted(
    'models',
    'Model',
    null,
    'Series: `scope|entity|metric`; network: `scope|*|net-<id>`.',
    'The champion of each series with its evidence, and the networks that models use.',
  ),
  compacted(
    'alerts.forecasts',
    'ForecastAlert',
    null,
    'Series and horizon: `scope|entity|metric|horizon_ms`; a tombstone means that it is over.',
    'Models that are worse than the seasonal naive.',
  ),
]

const DEAD_LETTER_PREFIX = 'dlq.'

/** The definition of the dead letters of any topic, one of ours or the raw one that an adapter reads. */
export function deadLetterTopic(inputTopic: string): TopicDefinition {
  return log(
    `${DEAD_LETTER_PREFIX}${inputTopic}`,
    'DeadLetter',
    null,
    'Partition and offset of the original record.',
    `Records of \`${inputTopic}\` that could not be used.`,
    { eventTime: false },
  )
}

const READ_BY_TOPOLOGIES = /^(telemetry|logs|events|features|forecasts|scenarios|risks|acks|decisions)\./

/** Every topic, the dead letters of each topic that a topology or follower reads included. */
export const TOPICS: readonly TopicDefinition[] = [
  ...LIVE_TOPICS,
  ...LIVE_TOPICS.filter((t) => READ_BY_TOPOLOGIES.test(t.name)).map((t) => deadLetterTopic(t.name)),
]

/**
 * The name of a topic for a replay or demo: the prefix, separator included (`replay-7.`), then the base name.
 * '' is live. The dead letters of a replay are `replay-7.dlq.<base>`.
 */
export const topicName = (base: string, prefix = ''): string => `${prefix}${base}`

/** The name without the prefix: the inverse of `topicName`. A name that does not carry the prefix comes back as it is. */
export const baseTopicName = (name: string, prefix = ''): string =>
  name.startsWith(prefix) ? name.slice(prefix.length) : name

/**
 * The definition of a topic by its name without prefix; `dlq.<anything>` has one too.
 * Throws RangeError for a name that is not declared: topics are contracts, not strings made on the way.
 */
export function topicDefinition(base: string): TopicDefinition {
  const found = TOPICS.find((t) => t.name === base)
  if (found !== undefined) return found
  if (base.startsWith(DEAD_LETTER_PREFIX)) return deadLetterTopic(base.slice(DEAD_LETTER_PREFIX.length))
  throw new RangeError(`Topic ${base} is not declared in schemas/topics.ts.`)
}

/**
 * What to create for a topic: name with prefix, partitions, settings.
 * `partitions` and `replicationFactor` override the declared count and the broker's default.
 * Throws RangeError as `topicDefinition`.
 */
export function topicSpec(
  base: string,
  options: { prefix?: string; partitions?: number; replicationFactor?: number } = {},
): TopicToCreate {
  const definition = topicDefinition(base)
  const configs: Record<string, string> = definition.compacted
    ? { 'cleanup.policy': 'compact', 'delete.retention.ms': String(TOMBSTONES_KEPT_MS) }
    : {
        'cleanup.policy': 'delete',
        'retention.ms': '-1',
        'retention.bytes': String(definition.retentionBytes),
      }
  return {
    name: topicName(base, options.prefix),
    partitions: options.partitions ?? definition.partitions,
    ...(options.replicationFactor === undefined ? {} : { replicationFactor: options.replicationFactor }),
    configs,
  }
}
