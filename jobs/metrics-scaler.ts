import type { DataScaleBody } from '#schemas'
import type { FollowerHealth } from '#core/dataplane'
import type { ScalerCounts } from '#infra/keda'
import type { Sample } from '#infra/observability'
import { counter, gauge, histogram } from './metrics-samples.ts'
import { followerSamples } from './metrics.ts'
import type { ScaleCommandCounts } from './scale-command.ts'

/** What a scaler's metrics are read from. */
export interface ScalerParts {
  /** What stands, by service. */
  readonly bodies: () => Iterable<DataScaleBody>
  readonly health: () => FollowerHealth
  readonly calls: () => ScalerCounts
  /** Null: no command is run. */
  readonly commands: (() => ScaleCommandCounts) | null
}

const DECISIONS = 'decisions.data.scale'
const QUANTILES = [
  ['0.5', 'load_q50'],
  ['0.9', 'load_q90'],
  ['0.99', 'load_q99'],
] as const

/** What a scaler has been told, was asked, and has run. */
export function scalerSamples(parts: ScalerParts): Sample[] {
  const { answered, refused, streams, lastCallMs } = parts.calls()
  const outcome = (word: string, value: number): Sample =>
    counter('scaler_calls', 'Calls of KEDA, by how they were answered.', { outcome: word }, value)
  return [
    ...[...parts.bodies()].flatMap(serviceSamples),
    outcome('answered', answered),
    outcome('refused', refused),
    gauge('scaler_streams', 'Streams of KEDA that are open.', {}, streams),
    gauge(
      'scaler_last_call_timestamp_seconds',
      'When KEDA has called last; 0: never.',
      {},
      lastCallMs / 1000,
    ),
    ...(parts.commands === null ? [] : commandSamples(parts.commands())),
    ...followerSamples('scaler', DECISIONS, parts.health()),
  ]
}

function serviceSamples(body: DataScaleBody): Sample[] {
  const labels = { service: body.service }
  return [
    gauge('scale_instances', 'Instances decided.', labels, body.instances),
    gauge('scale_capacity', 'Work that one instance can do in a window.', labels, body.capacity),
    ...QUANTILES.map(([quantile, field]) =>
      gauge('scale_load', 'Work per window that was expected.', { ...labels, quantile }, body[field]),
    ),
  ]
}

const commandSamples = ({ succeeded, failed, running, seconds }: ScaleCommandCounts): Sample[] => [
  ...Object.entries({ succeeded, failed }).map(([outcome, value]) =>
    counter('scale_commands', 'Commands that changed a count, by how they ended.', { outcome }, value),
  ),
  gauge('scale_commands_running', 'Commands under way.', {}, running),
  histogram('scale_command_seconds', 'Time to the end of a command.', {}, seconds),
]
