import type { FollowerCounters, FollowerHealth } from '#core/dataplane'
import type { Counters, Worker } from '#core/runtime'
import type { SinkCounters } from '#core/warehouse'
import type { Sample } from '#infra/observability'
import { counter, gauge } from './metrics-samples.ts'

/** Counters of a worker that are counts, and what each counts. */
const COUNTED = {
  recordsIn: ['records_in', 'Records read, without replayed ones.'],
  accepted: ['records_accepted', 'Records that went into a window or a round.'],
  late: ['records_late', 'Records whose window was closed already.'],
  deadLetters: ['dead_letters', 'Records that were refused and kept as dead letters.'],
  replayed: ['records_replayed', 'Records read again after a restart to fill open windows.'],
  windows: ['windows_closed', 'Windows of a key closed and emitted.'],
  rounds: ['rounds', 'Rounds of forecasts or decisions.'],
  recordsOut: ['records_out', 'Records written.'],
  commits: ['commits', 'Transactions committed: with commit_seconds, the latency of a commit.'],
  aborts: ['aborts', 'Transactions given up.'],
  rebalances: ['rebalances', 'Rebalances in which this worker kept something.'],
  pauses: ['pauses', 'Times that reading was paused because output or state was at its bound.'],
} as const satisfies Partial<Record<keyof Counters, readonly [string, string]>>

/** What a worker counts; `subsystem` and `part` name it. */
export function workerSamples(
  worker: Pick<Worker, 'counters' | 'tasks' | 'bytes'>,
  labels: { readonly subsystem: string; readonly part: string },
): Sample[] {
  const { counters } = worker
  const counted = (Object.keys(COUNTED) as (keyof typeof COUNTED)[]).map((field) => {
    const [name, help] = COUNTED[field]
    return counter(name, help, labels, counters[field])
  })
  const emitted = Object.entries(counters.roundsOut).map(([topic, value]) =>
    counter('issued', 'Forecasts, risks and decisions issued, by topic.', { ...labels, topic }, value),
  )
  const skipped = Object.entries(counters.skipped).map(([reason, value]) =>
    counter('records_skipped', 'Valid records not wanted, by reason.', { ...labels, reason }, value),
  )
  const watermarks = worker
    .tasks()
    .map((task) =>
      gauge(
        'watermark_timestamp_seconds',
        'Event time up to which a task has done everything.',
        { ...labels, task: task.id },
        task.watermarkMs / 1000,
      ),
    )
  return [
    ...counted,
    ...emitted,
    ...skipped,
    counter('commit_seconds', 'Time that commits took to be answered.', labels, counters.commitMs / 1000),
    gauge('state_bytes', 'Window state and waiting rows held.', labels, worker.bytes()),
    gauge('paused_partitions', 'Partitions that are not being read now.', labels, counters.pausedPartitions),
    gauge(
      'longest_batch_seconds',
      'Longest time that one batch held up everything else in this process.',
      labels,
      counters.longestBatchMs / 1000,
    ),
    ...watermarks,
  ]
}

/** What a sink counts. */
export function sinkSamples(counters: SinkCounters): Sample[] {
  const rows = Object.entries(counters.rows).map(([table, value]) =>
    counter('sink_rows', 'Rows acknowledged by the warehouse, by table.', { table }, value),
  )
  return [
    counter('sink_records', 'Records read for the warehouse.', {}, counters.records),
    ...rows,
    counter('sink_bytes', 'Bytes of rows acknowledged.', {}, counters.bytes),
    counter('sink_inserts', 'Inserts acknowledged.', {}, counters.inserts),
    counter('sink_insert_seconds', 'Time spent in inserts.', {}, counters.insertMs / 1000),
    counter('sink_insert_failures', 'Tries of an insert that failed.', {}, counters.insertFailures),
    counter('sink_undecodable', 'Records that do not fit their table.', {}, counters.undecodable),
    gauge('sink_buffered_bytes', 'Rows that wait to be acknowledged.', {}, counters.bufferedBytes),
  ]
}

const FOLLOWED = {
  applied: 'Decisions put into force.',
  rejected: 'Decisions refused before anything was changed.',
  rolledBack: 'Decisions that failed; the one before was put back.',
  expired: 'Decisions whose time was over.',
  superseded: 'Decisions replaced before they were applied.',
  withdrawn: 'Decisions taken back.',
} as const satisfies Partial<Record<keyof FollowerCounters, string>>

/** What a follower of decisions has done, how old what is in force is, and how far behind it is. */
export function followerSamples(follower: string, topic: string, health: FollowerHealth): Sample[] {
  const labels = { follower, topic }
  const { counters } = health
  const states = (Object.keys(FOLLOWED) as (keyof typeof FOLLOWED)[]).map((state) =>
    counter(
      'decisions',
      'Decisions by what became of them.',
      { ...labels, state: wordOf(state) },
      counters[state],
    ),
  )
  const issued = (which: string, ms: number): Sample =>
    gauge(
      `decisions_${which}_issued_timestamp_seconds`,
      `When the ${which} decision in force was issued.`,
      labels,
      ms / 1000,
    )
  return [
    ...states,
    gauge('decisions_held', 'Entities with a decision in force.', labels, health.held),
    gauge(
      'decisions_waiting',
      'Entities with a decision that waits for its time or the data plane.',
      labels,
      health.waiting,
    ),
    issued('oldest', health.oldestIssuedMs),
    issued('newest', health.newestIssuedMs),
    gauge('decisions_epoch', 'Highest epoch in force.', labels, health.epoch),
    gauge('follower_lag_records', 'Decisions not yet read; -1: not known.', labels, health.lag),
    gauge(
      'follower_caught_up',
      '1: all that stood at the start is in force.',
      labels,
      health.caughtUp ? 1 : 0,
    ),
    counter('acks', 'Acknowledgements handed to Kafka.', labels, counters.acks),
    counter('ack_failures', 'Acknowledgements that Kafka did not take.', labels, counters.ackFailures),
    counter(
      'data_plane_unreachable',
      'Tries at a data plane that did not answer.',
      labels,
      counters.unreachable,
    ),
  ]
}

const wordOf = (state: string): string => state.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
