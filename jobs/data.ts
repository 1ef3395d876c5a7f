import { createCodec, type RecordCodec } from '#core/codec'
import { readStanding } from '#core/decisions'
import type { Broker, Clock } from '#core/ports'
import type { Topology, Worker } from '#core/runtime'
import { type DataConfig, dataTopologies } from '#data-sharding'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { topicName } from '#schemas'
import type { TopologyChoice } from './args.ts'
import { databaseOf } from './connect.ts'
import { createTopics, prepareTables } from './create-topics.ts'
import { followTables } from './followed-tables.ts'
import { createTableSink, createWorkers, type PipelineDeps, prepareRecords } from './pipelines.ts'
import type { TrafficConnections } from './traffic.ts'
import { createWaitingSink } from './waiting-sink.ts'

/** What a process of the data-sharding pipelines runs. */
export interface DataOptions {
  readonly connections: TrafficConnections
  readonly config: DataConfig
  /** Prefix of all topics and groups; '' is live. */
  readonly prefix: string
  /** Stable name of this process among its like. */
  readonly slot: string
  readonly topologies: TopologyChoice
  readonly clock: Clock
  /** False: another part of this process brings every topic to ClickHouse. */
  readonly ownsSink: boolean
  readonly onWarning: (error: Error) => void
  readonly onFatal: (error: Error) => void
}

/** The running pipelines of data-sharding. */
export interface DataPipelines {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly workers: ReadonlyMap<TopologyChoice, Worker>
  start(): Promise<void>
  stop(): Promise<void>
}

const CHOICES = ['features', 'forecasts', 'decisions'] as const

/** Creates topics, and wires the workers and the sink by hand; nothing runs before `start`. */
export async function openData(options: DataOptions): Promise<DataPipelines> {
  const { connections, config, prefix, slot, clock, onWarning, onFatal } = options
  const broker = createBroker({ ...connections.kafka, clientId: `forestall-data-${slot}` })
  const codec = createCodec(createRegistryClient(connections.registry))
  await prepareRecords(codec)
  const tables = followTables(broker, codec, prefix, onWarning)
  const standing = async () => {
    const [shards, scale] = await Promise.all([
      readStanding(broker, topicName('decisions.data.shards', prefix), (value) =>
        codec.decodeAsync(value, 0, value.length, 'DataShardDecision'),
      ),
      readStanding(broker, topicName('decisions.data.scale', prefix), (value) =>
        codec.decodeAsync(value, 0, value.length, 'DataScaleDecision'),
      ),
    ])
    return { shards, scale }
  }
  const topologies = dataTopologies(config, { clock, readStanding: standing }, tables)
  await createTopics(broker, topologies, { 'features.queries': config.partitions }, prefix)
  const deps = { broker, codec, clock, slot, prefix, onWarning, onFatal }
  const named = CHOICES.map((choice, i) => [choice, topologies[i] as Topology] as const)
  const workers = createWorkers(named, options.topologies, deps)
  const sink = options.ownsSink ? openSink(connections, deps) : null
  let stopped = false
  return {
    broker,
    codec,
    workers,
    async start() {
      await Promise.all([sink?.start(), ...[...workers.values()].map((it) => it.start())])
    },
    async stop() {
      if (stopped) return
      stopped = true
      // A round that still waits for the tables goes on without: its worker can then stop.
      await tables.stop()
      await Promise.all([...workers.values()].map((it) => it.stop()))
      await sink?.stop()
      await broker.close()
    },
  }
}

/** Brings every topic to ClickHouse; rows wait in Kafka while it does not answer. */
function openSink(connections: DataOptions['connections'], deps: PipelineDeps) {
  const { prefix, slot, onWarning, onFatal } = deps
  const clickhouse = { database: databaseOf(prefix), ...connections.clickhouse }
  const warehouse = createWarehouse(clickhouse)
  const running = createWaitingSink({
    sink: createTableSink(deps, warehouse, `data-${slot}`),
    prepareTables: async () => {
      await ensureDatabase(clickhouse)
      await prepareTables(warehouse)
    },
    onWarning,
    onFatal,
  })
  return {
    start: () => running.start(),
    async stop() {
      await running.stop()
      await warehouse.close()
    },
  }
}
