import type { DataMovePhase } from '#schemas'
import type { Follower } from '#core/dataplane'
import { type Broker, partitionKey } from '#core/ports'
import type { Sample } from '#infra/observability'
import type { QueryRouter } from '#infra/query-router'
import type {
  AppliedReader,
  InstancePicker,
  LogWriter,
  Mover,
  QueryLogCounts,
} from '../pipelines/data-sharding/dataplane.ts'
import { counter, gauge, histogram, type Labels } from './metrics-samples.ts'
import { followerSamples } from './metrics.ts'
import { fresh } from './metrics-lag.ts'
import type { OpenRouter } from './query-router-open.ts'
import type { RouterCounts, RouterMeter, StatementKind } from './router-meter.ts'

const DECISIONS = 'decisions.data.shards'
const PHASES: readonly DataMovePhase[] = [
  'copying',
  'joining',
  'verifying',
  'switched',
  'reversing',
  'dropping',
  'done',
  'reversed',
  'failed',
]

/** What is read of a router. */
interface ReadRouter extends Pick<OpenRouter, 'topic'> {
  readonly router: Pick<QueryRouter, 'counters'>
  readonly picker: Pick<InstancePicker, 'view'>
  readonly writer: Pick<LogWriter, 'pendingBytes'>
  /** Numbers are places in what `picker` says. */
  instances(): readonly {
    readonly name: string
    readonly number: number
    readonly applied: Pick<AppliedReader, 'health' | 'segments'>
  }[]
}

/** What a router's metrics are read from. */
export interface RouterParts {
  readonly broker: Broker
  readonly service: string
  readonly opened: ReadRouter
  readonly meter: Pick<RouterMeter, 'counts'>
  /** Null while another router leads. */
  readonly mover: () => {
    readonly mover: Pick<Mover, 'states'>
    readonly follower: Pick<Follower<unknown>, 'health'> | null
  } | null
  readonly queryLog: () => QueryLogCounts
  readonly onWarning: (error: Error) => void
}

/** Reads everything that a router has to say at a scrape. */
export function createRouterCollect(parts: RouterParts): () => Promise<Sample[]> {
  const { broker, service, opened, meter, onWarning } = parts
  const labels = { service }
  const logLag = createLogLag(broker, opened, labels, onWarning)
  return async () => {
    const { mover, follower } = parts.mover() ?? {}
    return [
      ...dispatchSamples(labels, opened.router.counters),
      ...meterSamples(labels, meter.counts()),
      ...instanceSamples(labels, opened, performance.now()),
      ...queryLogSamples(labels, parts.queryLog()),
      gauge('router_leads', '1: this router applies the log and moves segments.', labels, mover ? 1 : 0),
      gauge(
        'router_log_pending_bytes',
        'Bytes on their way into the write log.',
        labels,
        opened.writer.pendingBytes,
      ),
      ...(mover ? moveSamples(labels, mover) : []),
      ...(follower ? followerSamples(service, DECISIONS, follower.health()) : []),
      ...(await logLag()),
    ]
  }
}

/** What a router has sent to its instances, and what came of it. */
function dispatchSamples(labels: Labels, counters: QueryRouter['counters']): Sample[] {
  return [
    counter('router_requests', 'Queries and inserts sent to instances.', labels, counters.requests),
    counter('router_retries', 'Requests tried again at another instance.', labels, counters.retries),
    counter('router_hedges', 'Second requests sent because an answer was late.', labels, counters.hedges),
    counter('router_hedges_won', 'Second requests that answered first.', labels, counters.hedgesWon),
    counter('router_broken_answers', 'Answers that broke off.', labels, counters.brokenAnswers),
  ]
}

/** What a router has been asked, and how long it took. */
function meterSamples(labels: Labels, counts: RouterCounts): Sample[] {
  const kinds = (Object.keys(counts.planned) as StatementKind[]).map((kind) =>
    counter(
      'router_statements',
      'Statements by what was done with them.',
      { ...labels, kind },
      counts.planned[kind],
    ),
  )
  const outcome = (name: string, help: string, each: Readonly<Record<string, number>>): Sample[] =>
    Object.entries(each).map(([word, value]) => counter(name, help, { ...labels, outcome: word }, value))
  return [
    ...kinds,
    ...outcome('router_answers', 'Statements that one instance was asked, by how they ended.', {
      answered: counts.answered,
      failed: counts.failed,
    }),
    histogram(
      'router_answer_seconds',
      'Time to the end of an answer of one instance.',
      labels,
      counts.answers,
    ),
    ...outcome('router_writes', 'Inserts into sharded tables, by how they ended.', {
      acknowledged: counts.writesAcknowledged,
      refused: counts.writesRefused,
    }),
    histogram('router_write_seconds', 'Time to the acknowledgement of an insert.', labels, counts.writes),
    histogram(
      'router_move_pause_seconds',
      'Time that moves held up the log of a partition.',
      labels,
      counts.pauses,
    ),
    ...PHASES.map((phase) =>
      counter(
        'router_move_phases',
        'Phases of moves that began.',
        { ...labels, phase },
        counts.phases.get(phase) ?? 0,
      ),
    ),
  ]
}

/** Moves that are known, by phase: of the router that leads. */
function moveSamples(labels: Labels, mover: Pick<Mover, 'states'>): Sample[] {
  const states = mover.states()
  return PHASES.map((phase) =>
    gauge(
      'router_moves',
      'Moves of the last day and those under way, by phase.',
      { ...labels, phase },
      states.filter((state) => state.phase === phase).length,
    ),
  )
}

/** What became of the queries that a router writes to Kafka. */
const queryLogSamples = (labels: Labels, { sent, dropped, keyless }: QueryLogCounts): Sample[] =>
  Object.entries({ sent, dropped, keyless }).map(([state, value]) =>
    counter(
      'router_query_log',
      'Records of the query log, by what became of them.',
      { ...labels, state },
      value,
    ),
  )

/** How each instance does, by its name; those that are gone are left out. */
function instanceSamples(labels: Labels, { picker, ...opened }: ReadRouter, nowMs: number): Sample[] {
  const views = picker.view(nowMs)
  return opened.instances().flatMap(({ name, number, applied }) => {
    const view = views[number]
    if (view === undefined) return []
    const own = { ...labels, replica: name }
    const { partitions } = applied.health()
    return [
      gauge(
        'router_instance_up',
        '1: it answers; 0: it is left alone until a probe succeeds.',
        own,
        view.isDown ? 0 : 1,
      ),
      gauge(
        'router_instance_ejected',
        '1: it is too slow, and gets only probes.',
        own,
        view.isEjected ? 1 : 0,
      ),
      gauge('router_instance_in_flight', 'Requests under way.', own, view.inFlight),
      gauge(
        'router_instance_slowness_ratio',
        'How many times slower than expected it answers.',
        own,
        view.slowness,
      ),
      gauge(
        'router_instance_segments',
        'Segments whose writes are applied there.',
        own,
        applied.segments().length,
      ),
      gauge(
        'router_instance_blocked_partitions',
        'Partitions of the log that a statement or an error holds up.',
        own,
        partitions.filter(({ blockedBy }) => blockedBy !== '').length,
      ),
    ]
  })
}

/**
 * Records of the write log that are not yet applied, by instance. The ends are asked of the broker at most every few
 * seconds; an instance of which no position is known has no sample. End markers of transactions count as records.
 */
function createLogLag(
  broker: Broker,
  opened: ReadRouter,
  labels: Labels,
  onWarning: (error: Error) => void,
): () => Promise<Sample[]> {
  const ends = fresh(async () => {
    const admin = broker.admin()
    try {
      const count = (await admin.partitions([opened.topic])).get(opened.topic) ?? 0
      const all = Array.from({ length: count }, (_, partition) => ({ topic: opened.topic, partition }))
      return await admin.offsets(all, 'stable')
    } finally {
      await admin.close()
    }
  }, onWarning)
  return async () => {
    const known = await ends()
    if (known === null) return []
    return opened.instances().flatMap(({ name, applied }) => {
      const { partitions } = applied.health()
      if (partitions.length === 0) return []
      const behind = partitions.map(({ partition, next }) =>
        Math.max(0, (known.get(partitionKey(opened.topic, partition)) ?? next) - next),
      )
      const help = 'Records of the write log that are not yet applied.'
      return [
        gauge(
          'router_log_lag_records',
          help,
          { ...labels, replica: name },
          behind.reduce((a, b) => a + b, 0),
        ),
      ]
    })
  }
}
