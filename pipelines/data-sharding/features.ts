import type { PipelineFeature, QueryFeature, ServiceFeature } from '#schemas'
import {
  lengthAt,
  quantileOf,
  refuseEmpty,
  refuseSizes,
  sourceOf,
  tumbling,
  valueOf,
  windowFields,
} from '#core/features'
import { fmix32, fnv1a } from '#core/math'
import {
  type ClosedWindow,
  count,
  defineTopology,
  distinct,
  histogram,
  max,
  mean,
  min,
  type Row,
  sketch,
  slotsOf,
  sum,
  textOf,
  type Topology,
  type Verdict,
  type WindowSpec,
} from '#core/runtime'
import type { DataConfig } from './config.ts'

/** Name of the topology: its consumer group. */
export const FEATURES = 'data.features'

const QUERY_FIELDS = [
  'event_time_ms',
  'pattern',
  'service_id',
  'entity_id',
  'operation_id',
  'work',
  'duration_ms',
  'failed',
] as const
const QUERY = slotsOf(QUERY_FIELDS)
const PIPELINE_FIELDS = ['event_time_ms', 'pipeline_id', 'current_load', 'capacity', 'up'] as const
const PIPELINE = slotsOf(PIPELINE_FIELDS)

/** True if the field's text lies at `from` in the pattern, with a bar or the end behind it. */
function holds(row: Row, slot: number, from: number): boolean {
  const length = lengthAt(row, slot)
  const pattern = row.starts[QUERY.pattern] as number
  for (let i = 0; i < length; i++)
    if (row.buffer[pattern + from + i] !== row.buffer[(row.starts[slot] as number) + i]) return false
  return true
}

const BAR = 124

/** `service|operation|entity`, read in place. */
function patternFits(row: Row): boolean {
  const start = row.starts[QUERY.pattern] as number
  const first = lengthAt(row, QUERY.service_id)
  const second = first + 1 + lengthAt(row, QUERY.operation_id)
  return (
    lengthAt(row, QUERY.pattern) === second + 1 + lengthAt(row, QUERY.entity_id) &&
    row.buffer[start + first] === BAR &&
    row.buffer[start + second] === BAR &&
    holds(row, QUERY.service_id, 0) &&
    holds(row, QUERY.operation_id, first + 1) &&
    holds(row, QUERY.entity_id, second + 1)
  )
}

const QUERY_SIZES = ['work', 'duration_ms'] as const
const PIPELINE_SIZES = ['current_load', 'capacity'] as const

function checkQuery(row: Row): Verdict {
  const refused = refuseSizes(row, QUERY, QUERY_SIZES) ?? refuseEmpty(row, QUERY, 'service_id', 'service')
  if (refused !== undefined || patternFits(row)) return refused
  return { invalid: `pattern = '${textOf(row, QUERY.pattern)}': must be service|operation|entity` }
}

const checkPipeline = (row: Row): Verdict =>
  refuseSizes(row, PIPELINE, PIPELINE_SIZES) ?? refuseEmpty(row, PIPELINE, 'pipeline_id', 'instance')

/** The segment of a row's key, from its bytes: the same as `segmentOf` of its text. */
const segmentBin = (segments: number) => (row: Row) => {
  const start = row.starts[QUERY.entity_id] as number
  return fmix32(fnv1a(row.buffer, start, lengthAt(row, QUERY.entity_id))) % segments
}

/** What is said of queries, whatever they are grouped by. */
const queryFields = (w: ClosedWindow) => ({
  ...windowFields(w),
  queries: w.value('queries'),
  work: w.value('work'),
  duration_ms_mean: valueOf(w, 'duration_ms'),
  duration_ms_p95: quantileOf(w, 'duration_ms_p95', 0.95),
  failed: w.value('failed'),
})

const serviceRow =
  (segments: number) =>
  (w: ClosedWindow): ServiceFeature => ({
    ...queryFields(w),
    service_id: w.key,
    entities: w.value('entities'),
    segment_work: Array.from({ length: segments }, (_, s) => w.bin('segments', s)),
  })

function queryRow(w: ClosedWindow): QueryFeature {
  const [service = '', operation = '', ...entity] = w.key.split('|')
  return {
    ...queryFields(w),
    pattern: w.key,
    service_id: service,
    entity_id: entity.join('|'),
    operation_id: operation,
  }
}

const pipelineRow = (w: ClosedWindow): PipelineFeature => ({
  ...windowFields(w),
  pipeline_id: w.key,
  records: w.value('records'),
  load_mean: w.value('load_mean'),
  load_max: w.value('load_max'),
  capacity_min: w.value('capacity_min'),
  up_ratio: w.value('up'),
})

/** logs.queries and telemetry.pipelines to features per service, pattern and instance. Keys need not match partitions. */
export function featuresTopology(config: DataConfig): Topology {
  const { partitions, segments } = config
  const shape = tumbling(config)
  const ofQueries = {
    queries: count(),
    work: sum(QUERY.work),
    duration_ms: mean(QUERY.duration_ms),
    duration_ms_p95: sketch(QUERY.duration_ms),
    failed: sum(QUERY.failed),
  }
  const services: WindowSpec = {
    ...shape,
    from: 'queries',
    key: 'service_id',
    aggregates: {
      ...ofQueries,
      entities: distinct(QUERY.entity_id),
      segments: histogram(QUERY.work, segments, segmentBin(segments)),
    },
    merge: { topic: 'internal.data.services', partitions: 1 },
    to: { topic: 'features.services', record: 'ServiceFeature', row: serviceRow(segments) },
  }
  const patterns: WindowSpec = {
    ...shape,
    from: 'queries',
    key: 'pattern',
    aggregates: ofQueries,
    merge: { topic: 'internal.data.patterns', partitions },
    to: { topic: 'features.queries', record: 'QueryFeature', row: queryRow },
  }
  const pipelines: WindowSpec = {
    ...shape,
    from: 'states',
    key: 'pipeline_id',
    aggregates: {
      records: count(),
      load_mean: mean(PIPELINE.current_load),
      load_max: max(PIPELINE.current_load),
      capacity_min: min(PIPELINE.capacity),
      up: mean(PIPELINE.up),
    },
    merge: { topic: 'internal.data.pipelines', partitions: 1 },
    to: { topic: 'features.pipelines', record: 'PipelineFeature', row: pipelineRow },
  }
  return defineTopology({
    name: FEATURES,
    sources: {
      queries: sourceOf(config, {
        topic: 'logs.queries',
        record: 'QueryLog',
        fields: QUERY_FIELDS,
        check: checkQuery,
      }),
      states: sourceOf(config, {
        topic: 'telemetry.pipelines',
        record: 'PipelineState',
        fields: PIPELINE_FIELDS,
        check: checkPipeline,
      }),
    },
    windows: { services, patterns, pipelines },
  })
}
