import { createCodec, type RecordCodec } from '#core/codec'
import { readStandingOf } from '#core/decisions'
import type { Broker, Clock, Warehouse } from '#core/ports'
import { inputTopics, type Topology, type Worker } from '#core/runtime'
import { PARTS, type Part, type Solvers, type Subsystem } from '#core/subsystem'
import type { Retention, Sink } from '#core/warehouse'
import { createWarehouse, ensureDatabase } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import type { ClickHouseConnection, KafkaConnection, RegistryConnection } from '#infra/local'
import type { Sample } from '#infra/observability'
import { createRegistryClient } from '#infra/registry'
import { createInlineSolver, createWorkerSolver } from '#infra/solver'
import { databaseOf } from './connect.ts'
import { createTopics, prepareTables } from './create-topics.ts'
import { followTables } from './followed-tables.ts'
import { createAccuracy } from './metrics-accuracy.ts'
import { createLag, type ReadBy } from './metrics-lag.ts'
import { sinkSamples, workerSamples } from './metrics.ts'
import { createTableSink, createWorkers, type PipelineDeps, prepareRecords } from './pipelines.ts'
import { createWaitingSink } from './waiting-sink.ts'

/** Where the parts of the stack are. */
export interface PipelineConnections {
  readonly kafka: KafkaConnection
  readonly clickhouse: ClickHouseConnection
  readonly registry: RegistryConnection
}

/** What a process of the pipelines of a subsystem runs. */
export interface PipelineOptions<Config> {
  readonly subsystem: Subsystem<Config>
  readonly config: Config
  readonly connections: PipelineConnections
  /** Prefix of all topics and groups; '' is live. */
  readonly prefix: string
  /** Stable name of this process among its like. */
  readonly slot: string
  readonly part: Part | 'all'
  readonly clock: Clock
  /** The solver on its own thread with a deadline (live), or in this one (replays). */
  readonly solver: 'thread' | 'inline'
  /**
   * Who brings every topic to the warehouse. 'now': this process, which does not start without it; 'waiting': this process, and while the
   * warehouse does not answer rows wait in the log; 'elsewhere': another.
   */
  readonly sink: 'now' | 'waiting' | 'elsewhere'
  /** How long live rows are kept in the warehouse. Default: for ever. */
  readonly retention?: Retention
  readonly commitIntervalMs?: number
  readonly onRound?: (timeMs: number) => void
  readonly onWarning: (error: Error) => void
  readonly onFatal: (error: Error) => void
}

/** The running pipelines of a subsystem. */
export interface Pipelines {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly warehouse: Warehouse
  readonly workers: ReadonlyMap<Part, Worker>
  /** Starts nothing where the sink is elsewhere. */
  readonly sink: Sink
  /** What moves, and how far behind it is. */
  metrics(): Promise<Sample[]>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Opens the solvers at the first question. */
function openSolvers(where: 'thread' | 'inline') {
  let opened: Promise<Solvers> | undefined
  const open = async (): Promise<Solvers> => ({
    inline: await createInlineSolver(),
    ...(where === 'thread' ? { remote: await createWorkerSolver() } : {}),
  })
  return {
    get: (): Promise<Solvers> => (opened ??= open()),
    async close(): Promise<void> {
      await (await opened)?.remote?.close()
    },
  }
}

function openWarehouse(connection: ClickHouseConnection, prefix: string, retention: Retention | undefined) {
  const clickhouse = { ...connection, database: databaseOf(prefix, connection.database) }
  const warehouse = createWarehouse(clickhouse)
  const prepare = async (): Promise<void> => {
    await ensureDatabase(clickhouse)
    await prepareTables(warehouse, retention)
  }
  return { warehouse, prepare }
}

const readBy = (topology: Topology, prefix: string, labels: ReadBy['labels']): ReadBy => ({
  group: `${prefix}${topology.name}`,
  prefix,
  topics: inputTopics(topology),
  labels,
})

/** Creates topics, tables and views, and wires the workers and the sink; nothing runs before `start`. */
export async function openPipelines<Config>(options: PipelineOptions<Config>): Promise<Pipelines> {
  const { subsystem, config, connections, prefix, slot, clock, commitIntervalMs, onWarning, onFatal } =
    options
  const instance = `${subsystem.name}-${slot}`
  const broker = createBroker({ ...connections.kafka, clientId: `forestall-${instance}` })
  const codec = createCodec(createRegistryClient(connections.registry))
  const { warehouse, prepare } = openWarehouse(connections.clickhouse, prefix, options.retention)
  if (options.sink === 'now') await prepare()
  await prepareRecords(codec)
  const tables = followTables(broker, codec, prefix, onWarning)
  const solvers = openSolvers(options.solver)
  const topologies = await subsystem.topologies(config, {
    clock,
    tables,
    readStanding: (outputs) => readStandingOf(outputs, { broker, codec, prefix }),
    solvers: solvers.get,
    ...(options.onRound ? { onRound: options.onRound } : {}),
  })
  await createTopics(broker, Object.values(topologies), subsystem.partitions(config), prefix)
  const commit = commitIntervalMs === undefined ? {} : { commitIntervalMs }
  const deps: PipelineDeps = { broker, codec, clock, slot, prefix, onWarning, onFatal, ...commit }
  const named = PARTS.map((part) => [part, topologies[part]] as const)
  const workers = createWorkers(named, options.part, deps)
  const sink = createTableSink(deps, warehouse, instance)
  const running = {
    now: sink,
    waiting: createWaitingSink({ sink, prepareTables: prepare, onWarning, onFatal }),
    elsewhere: null,
  }[options.sink]
  const labelsOf = (part: Part) => ({ subsystem: subsystem.name, part })
  const lag = createLag(
    broker,
    [...workers.keys()].map((part) => readBy(topologies[part], prefix, labelsOf(part))),
    onWarning,
  )
  // Whoever forecasts says how well.
  const accuracy =
    running !== null && workers.has('forecasts') ? createAccuracy(warehouse, onWarning) : () => []
  let stopped = false
  return {
    broker,
    codec,
    warehouse,
    workers,
    sink,
    async metrics() {
      const moved = [...workers].flatMap(([part, worker]) => workerSamples(worker, labelsOf(part)))
      const written = running === null ? [] : sinkSamples(sink.metrics)
      return [...moved, ...written, ...accuracy(), ...(await lag())]
    },
    async start() {
      await Promise.all([running?.start(), ...[...workers.values()].map((worker) => worker.start())])
    },
    async stop() {
      if (stopped) return
      stopped = true
      // A round that still waits for the tables goes on without: its worker can then stop.
      await tables.stop()
      await Promise.all([...workers.values()].map((worker) => worker.stop()))
      await running?.stop()
      await solvers.close()
      await broker.close()
      await warehouse.close()
    },
  }
}
