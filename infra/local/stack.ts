import { join, resolve } from 'node:path'
import { ForestallError } from '#core/ports'
import type { ClickHouseConnection, ExternalParts, KafkaConnection, RegistryConnection } from './config.ts'
import { kafkaCluster } from './kafka-cluster.ts'
import type { KafkaProcess } from './kafka-process.ts'
import type { KafkaListener } from './kafka-settings.ts'
import { clickhousePart, kafkaPart, registryPart, type Report } from './parts.ts'
import { openSupervisor, type Part, type PartDeath, type Supervisor } from './supervisor.ts'

/** One step in the life of a part. */
export interface StackProgress {
  readonly part: 'kafka' | 'clickhouse' | 'registry'
  readonly state: 'preparing' | 'starting' | 'ready' | 'stopping' | 'stopped'
  readonly detail?: string
  /** Since this part began to start (or to stop). */
  readonly elapsedMs: number
}

/** Settings of the stack. Parts that are not given as external are embedded. */
export interface StackConfig extends ExternalParts {
  /** Everything the stack keeps. Default `.forestall` in the working directory. */
  dataDir?: string
  /** Where downloaded parts are kept; several data folders may share it. Default `<dataDir>/parts`. */
  partsDir?: string
  /** Embedded Kafka for benches: compiled for speed, more memory. */
  throughput?: boolean
  /** Nodes of the embedded Kafka, 1 (default) or 3. Of three, each topic has a replica on each, two of them in sync. */
  brokers?: 1 | 3
  /** Further listeners of a node (from 1) of the embedded Kafka. */
  kafkaListeners?: (node: number) => readonly KafkaListener[]
  onProgress?: (event: StackProgress) => void
  /** A part ended by itself. The stack does not restart it. */
  onPartDied?: (death: PartDeath) => void
}

/** A running stack. */
export interface Stack {
  readonly kafkaBrokers: readonly string[]
  readonly clickhouseUrl: string
  readonly registryUrl: string
  readonly dataDir: string
  /** With credentials; they are left out where these objects are printed. */
  readonly connections: {
    readonly kafka: KafkaConnection
    readonly clickhouse: ClickHouseConnection
    readonly registry: RegistryConnection
  }
  /** Handles of the embedded parts; an external one has none. A part that starts again has the same port and data. */
  readonly parts: { readonly kafka?: Part; readonly clickhouse?: Part; readonly registry?: Part }
  /** The nodes of the embedded Kafka, that of node id 1 first; `parts.kafka` is there if it is one. */
  readonly brokers: readonly Part[]
  /** Parts of an instance that had crashed, killed at this start. */
  readonly orphansKilled: readonly string[]
  /** Stops the embedded parts, registry first; may be called twice. */
  stop(): Promise<void>
}

function reporter(onProgress: StackConfig['onProgress'], part: StackProgress['part']): Report {
  let sinceMs = 0
  let busy = false
  return (state, detail) => {
    if (!busy) sinceMs = performance.now()
    busy = state !== 'ready' && state !== 'stopped'
    const elapsedMs = Math.round(performance.now() - sinceMs)
    onProgress?.({ part, state, elapsedMs, ...(detail === undefined ? {} : { detail }) })
  }
}

interface EmbeddedKafka {
  readonly external: boolean
  readonly brokers: readonly Part<KafkaProcess>[]
  start(): Promise<readonly string[]>
}

function embeddedKafka(config: StackConfig, partsDir: string, supervisor: Supervisor): EmbeddedKafka {
  const { kafka: external, brokers: nodes = 1, throughput = false, kafkaListeners } = config
  if (external !== undefined)
    return { external: true, brokers: [], start: async () => external.bootstrapBrokers }
  const report = reporter(config.onProgress, 'kafka')
  if (nodes > 1) {
    const listeners = kafkaListeners === undefined ? {} : { listeners: kafkaListeners }
    const cluster = kafkaCluster(supervisor, report, { partsDir, nodes, ...listeners })
    return { external: false, brokers: cluster.parts, start: () => cluster.start() }
  }
  const listeners = kafkaListeners?.(1) ?? []
  const part = kafkaPart(supervisor, report, { partsDir, throughput, listeners })
  return { external: false, brokers: [part], start: async () => [(await part.start()).broker] }
}

/**
 * Starts what is not external: Kafka and ClickHouse side by side, the registry once Kafka answers.
 * Throws ALREADY_RUNNING, REGISTRY_REQUIRED (an embedded registry keeps its schemas in the embedded Kafka
 * only), SERVICE_MISSING or STACK_FAILED; nothing is left running then.
 */
export async function startStack(config: StackConfig = {}): Promise<Stack> {
  if (config.kafka && !config.registry) {
    throw new ForestallError('REGISTRY_REQUIRED', 'KAFKA_BROKERS is set, but SCHEMA_REGISTRY_URL is not.')
  }
  const { onProgress, onPartDied } = config
  const dataDir = resolve(config.dataDir ?? '.forestall')
  const partsDir = resolve(config.partsDir ?? join(dataDir, 'parts'))
  const supervisor = await openSupervisor({ dataDir, ...(onPartDied ? { onPartDied } : {}) })
  const kafka = embeddedKafka(config, partsDir, supervisor)
  const clickhouse = config.clickhouse
    ? undefined
    : clickhousePart(supervisor, reporter(onProgress, 'clickhouse'))
  const registry =
    config.registry || kafka.external
      ? undefined
      : registryPart(supervisor, reporter(onProgress, 'registry'), () => kafka.start())
  let bootstrapBrokers: readonly string[] = []
  const startKafka = async (): Promise<void> => {
    bootstrapBrokers = await kafka.start()
    await registry?.start()
  }
  try {
    await Promise.all([clickhouse?.start(), startKafka()])
  } catch (error) {
    await supervisor.stop().catch(() => {})
    throw error
  }
  const connections = {
    kafka: config.kafka ?? { bootstrapBrokers },
    clickhouse: config.clickhouse ?? { url: clickhouse?.running?.url ?? '' },
    registry: config.registry ?? { url: registry?.running?.url ?? '' },
  }
  const [single] = kafka.brokers.length === 1 ? kafka.brokers : []
  return {
    kafkaBrokers: connections.kafka.bootstrapBrokers,
    clickhouseUrl: connections.clickhouse.url,
    registryUrl: connections.registry.url,
    dataDir,
    connections,
    brokers: kafka.brokers,
    parts: {
      ...(single && { kafka: single }),
      ...(clickhouse && { clickhouse }),
      ...(registry && { registry }),
    },
    orphansKilled: supervisor.orphansKilled,
    stop: () => supervisor.stop(),
  }
}
