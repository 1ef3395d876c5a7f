import { createCodec, type RecordCodec } from '#core/codec'
import { readStanding } from '#core/decisions'
import type { Broker, Clock, Warehouse } from '#core/ports'
import type { Topology, Worker } from '#core/runtime'
import type { Sink } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import type { ClickHouseConnection, KafkaConnection, RegistryConnection } from '#infra/local'
import { createRegistryClient } from '#infra/registry'
import { createInlineSolver, createWorkerSolver } from '#infra/solver'
import { decisionsTopology, featuresTopology, forecastsTopology, type TrafficConfig } from '#traffic-routing'
import { topicName } from '#schemas'
import type { TopologyChoice } from './args.ts'
import { databaseOf } from './connect.ts'
import { createTopics, prepareTables } from './create-topics.ts'
import { followTables } from './followed-tables.ts'
import { createTableSink, createWorkers, prepareRecords } from './pipelines.ts'
import { createWaitingSink } from './waiting-sink.ts'

/** Where the parts are. */
export interface TrafficConnections {
  readonly kafka: KafkaConnection
  readonly clickhouse: ClickHouseConnection
  readonly registry: RegistryConnection
}

/** What a process of the traffic-routing pipelines runs. */
export interface TrafficOptions {
  readonly connections: TrafficConnections
  readonly config: TrafficConfig
  /** Prefix of all topics and groups; '' is live. */
  readonly prefix: string
  /** Stable name of this process among its like. */
  readonly slot: string
  readonly topologies: TopologyChoice
  readonly clock: Clock
  /** The solver on its own thread with a deadline (live), or in this one (replays). */
  readonly solver: 'thread' | 'inline'
  /** False: start also while ClickHouse does not answer; rows wait in Kafka. Default true. */
  readonly needsWarehouse?: boolean
  readonly commitIntervalMs?: number
  readonly onRound?: (timeMs: number) => void
  readonly onWarning: (error: Error) => void
  readonly onFatal: (error: Error) => void
}

/** The running pipelines of traffic-routing. */
export interface TrafficPipelines {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly warehouse: Warehouse
  readonly workers: ReadonlyMap<TopologyChoice, Worker>
  readonly sink: Sink
  start(): Promise<void>
  stop(): Promise<void>
}

/** Creates topics, tables and views, and wires the workers and the sink by hand; nothing runs before `start`. */
export async function openTraffic(options: TrafficOptions): Promise<TrafficPipelines> {
  const { connections, config, prefix, slot, clock, onWarning, onFatal } = options
  const broker = createBroker({ ...connections.kafka, clientId: `forestall-${slot}` })
  const codec = createCodec(createRegistryClient(connections.registry))
  const clickhouse = { database: databaseOf(prefix), ...connections.clickhouse }
  const warehouse = createWarehouse(clickhouse)
  const prepare = async (): Promise<void> => {
    await ensureDatabase(clickhouse)
    await prepareTables(warehouse)
  }
  if (options.needsWarehouse !== false) await prepare()
  await prepareRecords(codec)
  const solvers = {
    inline: await createInlineSolver(),
    ...(options.solver === 'thread' ? { remote: await createWorkerSolver() } : {}),
  }
  const standing = async () => {
    const [routes, shards] = await Promise.all([
      readStanding(broker, topicName('decisions.traffic.routes', prefix), (value) =>
        codec.decodeAsync(value, 0, value.length, 'RouteDecision'),
      ),
      readStanding(broker, topicName('decisions.traffic.shards', prefix), (value) =>
        codec.decodeAsync(value, 0, value.length, 'ShardDecision'),
      ),
    ])
    return { routes, shards }
  }
  const tables = followTables(broker, codec, prefix, onWarning)
  const topologies: readonly [TopologyChoice, Topology][] = [
    ['features', featuresTopology(config)],
    ['forecasts', forecastsTopology(config, tables)],
    [
      'decisions',
      decisionsTopology(config, {
        clock,
        solvers,
        readStanding: standing,
        ...(options.onRound ? { onRound: options.onRound } : {}),
      }),
    ],
  ]
  await createTopics(
    broker,
    topologies.map(([, topology]) => topology),
    { 'features.streams': config.partitions },
    prefix,
  )
  const { commitIntervalMs } = options
  const deps = {
    broker,
    codec,
    clock,
    slot,
    prefix,
    onWarning,
    onFatal,
    ...(commitIntervalMs === undefined ? {} : { commitIntervalMs }),
  }
  const workers = createWorkers(topologies, options.topologies, deps)
  const sink = createTableSink(deps, warehouse, slot)
  const running =
    options.needsWarehouse === false
      ? createWaitingSink({ sink, prepareTables: prepare, onWarning, onFatal })
      : sink
  let stopped = false
  return {
    broker,
    codec,
    warehouse,
    workers,
    sink,
    async start() {
      await Promise.all([running.start(), ...[...workers.values()].map((worker) => worker.start())])
    },
    async stop() {
      if (stopped) return
      stopped = true
      // A round that still waits for the tables goes on without: its worker can then stop.
      await tables.stop()
      await Promise.all([...workers.values()].map((worker) => worker.stop()))
      await running.stop()
      await solvers.remote?.close()
      await broker.close()
      await warehouse.close()
    },
  }
}
