import type { Sample } from '#infra/observability'
import { counter } from './metrics-samples.ts'

/** How the metrics of a bridge are told from those of the parts of subsystems. */
export const BRIDGE_LABELS = { subsystem: 'telemetry', part: 'bridge' } as const

/** What a bridge has done, under the names that workers of topologies have: dashboard and alerts show it with theirs. */
export const bridgeSamples = (counts: {
  readonly records: number
  readonly flows: number
  readonly deadLetters: number
  readonly commits: number
  readonly aborts: number
}): Sample[] => [
  counter('records_in', 'Records read, without replayed ones.', BRIDGE_LABELS, counts.records),
  counter('records_out', 'Records written.', BRIDGE_LABELS, counts.flows),
  counter(
    'dead_letters',
    'Records that were refused and kept as dead letters.',
    BRIDGE_LABELS,
    counts.deadLetters,
  ),
  counter(
    'commits',
    'Transactions committed: with commit_seconds, the latency of a commit.',
    BRIDGE_LABELS,
    counts.commits,
  ),
  counter('aborts', 'Transactions given up.', BRIDGE_LABELS, counts.aborts),
]
