import { plainRow, refuseEmpty, refuseSizes, sourceOf, tumbling } from '#core/features'
import { count, defineTopology, max, mean, min, type Row, slotsOf, type Topology } from '#core/runtime'
import type { PoolConfig } from './config.ts'

const FIELDS = ['event_time_ms', 'pipeline_id', 'current_load', 'capacity', 'up'] as const
const F = slotsOf(FIELDS)

const check = (row: Row) =>
  refuseSizes(row, F, ['current_load', 'capacity']) ?? refuseEmpty(row, F, 'pipeline_id', 'pool')

const aggregates = {
  records: count(),
  load_mean: mean(F.current_load),
  load_max: max(F.current_load),
  capacity_min: min(F.capacity),
  up_ratio: mean(F.up),
}

/** telemetry.pipelines to features per pool. */
export function featuresTopology(config: PoolConfig): Topology {
  const source = { topic: 'telemetry.pipelines', record: 'PipelineState', fields: FIELDS, check } as const
  const row = plainRow('pipeline_id', aggregates)
  const pools = {
    ...tumbling(config),
    from: 'states',
    key: 'pipeline_id',
    aggregates,
    merge: { topic: 'internal.example.pools', partitions: config.partitions },
    to: { topic: 'features.example', record: 'PipelineFeature', row },
  } as const
  return defineTopology({
    name: 'example.features',
    sources: { states: sourceOf(config, source) },
    windows: { pools },
  })
}
