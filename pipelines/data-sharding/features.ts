import type { PipelineFeature, QueryFeature, ServiceFeature } from '#schemas'
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
  type SourceSpec,
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

const at = (row: Row, slot: number): number => row.numbers[slot] as number
const isSize = (value: number) => value >= 0 && value < Number.POSITIVE_INFINITY
const isEmpty = (row: Row, slot: number) => row.starts[slot] === row.ends[slot]
const finite = (value: number) => (Number.isFinite(value) ? value : 0)

/** True if the field's text lies at `from` in the pattern, with a bar or the end behind it. */
function holds(row: Row, slot: number, from: number): boolean {
  const length = (row.ends[slot] as number) - (row.starts[slot] as number)
  const pattern = row.starts[QUERY.pattern] as number
  for (let i = 0; i < length; i++)
    if (row.buffer[pattern + from + i] !== row.buffer[(row.starts[slot] as number) + i]) return false
  return true
}

const BAR = 124

/** `service|operation|entity`, read in place. */
function patternFits(row: Row): boolean {
  const size = (slot: number) => (row.ends[slot] as number) - (row.starts[slot] as number)
  const start = row.starts[QUERY.pattern] as number
  const first = size(QUERY.service_id)
  const second = first + 1 + size(QUERY.operation_id)
  return (
    size(QUERY.pattern) === second + 1 + size(QUERY.entity_id) &&
    row.buffer[start + first] === BAR &&
    row.buffer[start + second] === BAR &&
    holds(row, QUERY.service_id, 0) &&
    holds(row, QUERY.operation_id, first + 1) &&
    holds(row, QUERY.entity_id, second + 1)
  )
}

function checkQuery(row: Row): Verdict {
  for (const field of ['work', 'duration_ms'] as const)
    if (!isSize(at(row, QUERY[field])))
      return { invalid: `${field} = ${at(row, QUERY[field])}: must be a finite number of 0 or more` }
  if (isEmpty(row, QUERY.service_id)) return { invalid: "service_id = '': must name the service" }
  if (!patternFits(row))
    return { invalid: `pattern = '${textOf(row, QUERY.pattern)}': must be service|operation|entity` }
  return undefined
}

function checkPipeline(row: Row): Verdict {
  for (const field of ['current_load', 'capacity'] as const)
    if (!isSize(at(row, PIPELINE[field])))
      return { invalid: `${field} = ${at(row, PIPELINE[field])}: must be a finite number of 0 or more` }
  return isEmpty(row, PIPELINE.pipeline_id)
    ? { invalid: "pipeline_id = '': must name the instance" }
    : undefined
}

/** The segment of a row's key, from its bytes: the same as `segmentOf` of its text. */
const segmentBin = (segments: number) => (row: Row) => {
  const start = row.starts[QUERY.entity_id] as number
  return fmix32(fnv1a(row.buffer, start, (row.ends[QUERY.entity_id] as number) - start)) % segments
}

const serviceRow =
  (segments: number) =>
  (w: ClosedWindow): ServiceFeature => ({
    service_id: w.key,
    window_start_ms: w.startMs,
    window_end_ms: w.endMs,
    queries: w.value('queries'),
    work: w.value('work'),
    duration_ms_mean: finite(w.value('duration_ms')),
    duration_ms_p95: finite(w.quantile('duration_ms_p95', 0.95)),
    failed: w.value('failed'),
    entities: w.value('entities'),
    segment_work: Array.from({ length: segments }, (_, s) => w.bin('segments', s)),
    incomplete: w.incomplete,
  })

function queryRow(w: ClosedWindow): QueryFeature {
  const [service = '', operation = '', ...entity] = w.key.split('|')
  return {
    pattern: w.key,
    service_id: service,
    entity_id: entity.join('|'),
    operation_id: operation,
    window_start_ms: w.startMs,
    window_end_ms: w.endMs,
    queries: w.value('queries'),
    work: w.value('work'),
    duration_ms_mean: finite(w.value('duration_ms')),
    duration_ms_p95: finite(w.quantile('duration_ms_p95', 0.95)),
    failed: w.value('failed'),
    incomplete: w.incomplete,
  }
}

const pipelineRow = (w: ClosedWindow): PipelineFeature => ({
  pipeline_id: w.key,
  window_start_ms: w.startMs,
  window_end_ms: w.endMs,
  records: w.value('records'),
  load_mean: w.value('load_mean'),
  load_max: w.value('load_max'),
  capacity_min: w.value('capacity_min'),
  up_ratio: w.value('up'),
  incomplete: w.incomplete,
})

const source = (
  config: DataConfig,
  spec: Pick<SourceSpec, 'topic' | 'record' | 'fields' | 'check'>,
): SourceSpec => ({
  ...spec,
  eventTime: 'event_time_ms',
  maxAheadMs: config.maxAheadMs,
  earliestMs: config.earliestMs,
  idleMs: config.idleMs,
  maxRecordBytes: config.maxRecordBytes,
})

/** logs.queries and telemetry.pipelines to features per service, pattern and instance. Keys need not match partitions. */
export function featuresTopology(config: DataConfig): Topology {
  const { windowMs, graceMs, partitions, segments } = config
  const shape = { sizeMs: windowMs, advanceMs: windowMs, graceMs }
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
      queries: source(config, {
        topic: 'logs.queries',
        record: 'QueryLog',
        fields: QUERY_FIELDS,
        check: checkQuery,
      }),
      states: source(config, {
        topic: 'telemetry.pipelines',
        record: 'PipelineState',
        fields: PIPELINE_FIELDS,
        check: checkPipeline,
      }),
    },
    windows: { services, patterns, pipelines },
    rounds: {},
  })
}
