import { createCodec, type RecordCodec } from '#core/codec'
import { readStanding } from '#core/decisions'
import type { Broker, Clock } from '#core/ports'
import { createRecordReaders, createWorker, type Topology, type Worker } from '#core/runtime'
import { createSink, decodeWith } from '#core/warehouse'
import { type DataConfig, dataTopologies } from '#data-sharding'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { type RecordName, TABLES, TOPICS, topicName } from '#schemas'
import type { TopologyChoice } from './args.ts'
import { databaseOf } from './connect.ts'
import { createTopics, prepareTables } from './create-topics.ts'
import { followTables } from './followed-tables.ts'
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
  await codec.prepare(
    TOPICS.flatMap(({ name, record }) =>
      record === null ? [] : [{ topic: name, record: record satisfies RecordName }],
    ),
  )
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
  const worker = (topology: Topology): Worker =>
    createWorker({
      topology,
      broker,
      encoder: codec,
      readers: createRecordReaders(codec),
      clock,
      slot,
      prefix,
      onFatal,
      onWarning,
    })
  const workers = new Map<TopologyChoice, Worker>()
  for (const [i, topology] of topologies.entries()) {
    const choice = CHOICES[i]
    if (choice !== undefined && (options.topologies === 'all' || options.topologies === choice))
      workers.set(choice, worker(topology))
  }
  const sink = options.ownsSink ? openSink(options, broker, codec) : null
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
function openSink(
  { connections, prefix, slot, clock, onWarning, onFatal }: DataOptions,
  broker: Broker,
  codec: RecordCodec,
) {
  const clickhouse = { database: databaseOf(prefix), ...connections.clickhouse }
  const warehouse = createWarehouse(clickhouse)
  const sink = createSink({
    broker,
    warehouse,
    groupId: `${prefix}warehouse`,
    groupInstanceId: `data-${slot}`,
    tables: TABLES,
    decode: decodeWith(codec),
    clock,
    topicPrefix: prefix,
    flushMs: 200,
    onError: onWarning,
  })
  const running = createWaitingSink({
    sink,
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
