import { topicSpec } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { type Broker, type Clock, mulberry32, type Random } from '#core/ports'
import {
  type AnsweredQuery,
  createHttpReplica,
  type HttpReplica,
  type QueryRouter,
  startQueryRouter,
} from '#infra/query-router'
import {
  type Applier,
  type AppliedReader,
  createAppliedWatch,
  createAppliedView,
  createApplier,
  createExpectedWork,
  createHedgeBudget,
  createInstancePicker,
  createLogWriter,
  createPlacementTable,
  createQueryPlanner,
  createStatementRouter,
  createWritePath,
  decodeTokens,
  encodeToken,
  fitsColumn,
  type InstancePicker,
  isRowFormat,
  type KeyType,
  type LoggedQuery,
  type LogWriter,
  type PlacementTable,
  readStatement,
  replicaOrder,
} from '../pipelines/data-sharding/dataplane.ts'
import type { QueryRouterConfig } from './query-router-config.ts'

/** A query router with everything behind it; numbers of instances are places in the list of the settings. */
export interface OpenRouter {
  readonly router: QueryRouter
  readonly placement: PlacementTable
  readonly picker: InstancePicker
  /** None if another router applies the log. */
  readonly appliers: readonly Applier[]
  /** What has been applied at each instance, by whoever does. */
  readonly applied: readonly AppliedReader[]
  readonly replicas: readonly HttpReplica[]
  readonly writer: LogWriter
  /** Name of the write log's topic. */
  readonly topic: string
  stop(): Promise<void>
}

/** What a router is opened with. */
export interface OpenRouterOptions {
  readonly config: QueryRouterConfig
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  /** '' for live. */
  readonly topicPrefix?: string
  readonly password?: string
  readonly random?: Random
  /** Told of every statement that one instance has answered; must be quick and not throw. */
  readonly onQuery?: (query: LoggedQuery) => void
  readonly onWarning: (error: Error) => void
}

/** Opens log, appliers and server; the topic of the write log is created if it is missing. */
export async function openQueryRouter(options: OpenRouterOptions): Promise<OpenRouter> {
  const { config, broker, codec, clock, onWarning } = options
  const { instances, segments, partitions, service } = config
  // One log for each service: its partitions are its own.
  const spec = { ...topicSpec('writes.data', { prefix: options.topicPrefix ?? '', partitions }) }
  const topic = `${spec.name}.${service}`
  await ensureTopic(broker, { ...spec, name: topic })
  await codec.prepare([{ topic, record: 'WriteBlock' }])

  const names = instances.map(({ name }) => name)
  const credentials = credentialsOf(config.user, options.password)
  const placement = createPlacementTable(segments, names)
  const order = replicaOrder(segments, instances.length, config.replicas)
  for (const [segment, holders] of order.entries()) {
    placement.set(
      segment,
      holders.map((i) => ({ instance: names[i] as string, weight: 1 / holders.length })),
    )
  }

  const layout = { service, segments, partitions }
  const writer = createLogWriter({ broker, codec, topic, clock, onWarning })
  const replicas = instances.map(({ url }) => createHttpReplica(url, credentials))
  const appliers = !config.apply
    ? []
    : replicas.map((store, i) =>
        createApplier({
          instance: names[i] as string,
          broker,
          codec,
          topic,
          layout,
          store,
          initialSegments: order.flatMap((holders, segment) => (holders.includes(i) ? [segment] : [])),
          onWarning,
        }),
      )
  const watches = config.apply
    ? []
    : replicas.map((store, i) =>
        createAppliedWatch({ instance: names[i] as string, store, topic, layout, onWarning }),
      )
  const applied: readonly AppliedReader[] = config.apply ? appliers : watches
  const view = createAppliedView(applied, partitions)
  const picker = createInstancePicker(names, options.random ?? mulberry32(clock.nowMs()))
  await writer.start()
  await Promise.all([...appliers, ...watches].map((part) => part.start()))

  const rules = {
    segments,
    tables: config.tables,
    fanOut: config.fanOut,
    changes: config.changes === 'all' ? ('all' as const) : ('refuse' as const),
    expressions: config.expressions,
  }
  const home = Math.max(0, names.indexOf(config.home ?? ''))
  const planner = createQueryPlanner(createStatementRouter(rules), placement, instances.length, home)
  const replicaList = replicas.map((store, i) => ({
    name: names[i] as string,
    applier: applied[i] as AppliedReader,
    store,
  }))
  const router = await startQueryRouter({
    instances,
    host: config.host,
    port: config.port,
    credentials,
    plan: (request) => planner.plan(request),
    isInsertHead: (sql) => {
      const statement = readStatement(sql)
      return statement.kind === 'insert' && statement.isWhole
    },
    isRowFormat,
    fitsKey: (rule, columnType) => fitsColumn(rule.keyType as KeyType, columnType),
    freshness: { ...view, decode: decodeTokens, encode: encodeToken },
    log: createWritePath({ layout, topic, writer, view, replicas: replicaList, clock }),
    picker,
    health: () => ({
      service,
      instances: picker.view(performance.now()),
      replicas: applied.map((replica) => replica.health()),
    }),
    ...(options.onQuery === undefined ? {} : { onQuery: loggedQueries(names, options.onQuery) }),
    expectation: createExpectedWork(),
    hedging: createHedgeBudget(),
    options: {
      hedge: config.hedge,
      acknowledge: config.acknowledge,
      allowsExpressions: config.expressions === 'evaluate',
      bindsSessions: config.bindSessions,
      freshWithinMs: config.freshWithinMs,
      allowsChanges: config.changes !== 'refuse',
    },
  })
  return {
    router,
    placement,
    picker,
    appliers,
    applied,
    replicas,
    writer,
    topic,
    async stop() {
      await router.stop()
      await Promise.all([...appliers, ...watches].map((part) => part.stop()))
      await writer.close()
      for (const replica of replicas) replica.close()
    },
  }
}

/** Names what the router counts. */
const loggedQueries =
  (names: readonly string[], onQuery: (query: LoggedQuery) => void) =>
  ({ plan, instance, elapsedMs, failed }: AnsweredQuery): void =>
    onQuery({
      keys: plan.keys ?? [],
      operation: plan.operation,
      instance: names[instance] ?? '',
      durationMs: elapsedMs,
      failed,
    })

async function ensureTopic(broker: Broker, spec: ReturnType<typeof topicSpec>): Promise<void> {
  const admin = broker.admin()
  try {
    await admin.ensureTopics([spec])
  } finally {
    await admin.close()
  }
}

/** Headers that name the user of the router; none for the default user without a password. */
function credentialsOf(user: string | undefined, password: string | undefined): string[] {
  if (user === undefined) return []
  return ['X-ClickHouse-User', user, 'X-ClickHouse-Key', password ?? '']
}
