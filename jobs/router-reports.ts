import { topicName, topicSpec } from '#schemas'
import type { RecordCodec } from '#core/codec'
import type { Broker, Clock } from '#core/ports'
import {
  createPipelineReporter,
  createQueryLogSender,
  type LoggedQuery,
  type PipelineReport,
  type QueryLogCounts,
} from '../pipelines/data-sharding/dataplane.ts'
import type { OpenRouter } from './query-router-open.ts'

/** What a router tells Kafka about itself. */
export interface RouterReports {
  /** Takes a query; a router is opened with it. */
  readonly onQuery: (query: LoggedQuery) => void
  /** Begins to report the instances of a router, as one of the routers of a service does. */
  begin(opened: OpenRouter): void
  /** Another router reports them from now on. */
  end(): Promise<void>
  counts(): QueryLogCounts
  /** Work per second of each instance in the last second, by name. */
  loads(): Readonly<Record<string, number>>
  /** Resolves when Kafka has every query so far. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** What reports are made of. */
export interface RouterReportsOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly topicPrefix: string
  readonly service: string
  /** Work per second that one instance can do; 0: not known. */
  readonly capacity: number
  readonly everyMs?: number
  readonly clock: Clock
  readonly onWarning: (error: Error) => void
}

const QUERIES = 'logs.queries'
const STATES = 'telemetry.pipelines'
const DIGITS = 3

/** Opens the log of a router and the reports of its instances; topics that are missing are created. */
export async function openRouterReports(options: RouterReportsOptions): Promise<RouterReports> {
  const { broker, codec, topicPrefix, service, capacity, everyMs, clock, onWarning } = options
  await codec.prepare([
    { topic: QUERIES, record: 'QueryLog' },
    { topic: STATES, record: 'PipelineState' },
  ])
  const shared = { broker, codec, service, clock, onWarning }
  const counts = await partitionsOf(broker, topicPrefix, [QUERIES, STATES])
  const [queries = 1, states = 1] = counts
  const log = createQueryLogSender({ ...shared, topic: topicName(QUERIES, topicPrefix), partitions: queries })
  let reporter: ReturnType<typeof createPipelineReporter> | null = null
  return {
    onQuery(query) {
      log.note(query)
      // Work is counted in queries, as in the log.
      if (query.keys.length > 0) reporter?.note(query.instance, 1)
    },
    begin(opened) {
      reporter ??= createPipelineReporter({
        ...shared,
        topic: topicName(STATES, topicPrefix),
        partitions: states,
        capacity,
        segmentId: (segment) => `${service}/${String(segment).padStart(DIGITS, '0')}`,
        ...(everyMs === undefined ? {} : { everyMs }),
        read: () => reportsOf(opened),
      })
    },
    async end() {
      const ended = reporter
      reporter = null
      await ended?.close()
    },
    counts: () => log.counts(),
    loads: () => reporter?.loads() ?? {},
    flush: () => log.flush(),
    async close() {
      await reporter?.close()
      await log.close()
    },
  }
}

function reportsOf(opened: OpenRouter): PipelineReport[] {
  const views = opened.picker.view(performance.now())
  return opened.instances().map(({ name, number, applied }) => ({
    name,
    up: views[number]?.isDown === false,
    segments: applied.segments(),
  }))
}

async function partitionsOf(
  broker: Broker,
  prefix: string,
  topics: readonly string[],
): Promise<readonly number[]> {
  const admin = broker.admin()
  try {
    const names = topics.map((topic) => topicName(topic, prefix))
    const found = await admin.partitions(names)
    const missing = topics.filter((topic) => !found.has(topicName(topic, prefix)))
    await admin.ensureTopics(missing.map((topic) => topicSpec(topic, { prefix })))
    const all = await admin.partitions(names)
    return names.map((name) => all.get(name) ?? 1)
  } finally {
    await admin.close()
  }
}
