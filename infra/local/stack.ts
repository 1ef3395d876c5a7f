import { join, resolve } from 'node:path'
import { ForestallError } from '#core/ports'
import type { ClickHouseConnection, ExternalParts, KafkaConnection, RegistryConnection } from './config.ts'
import { clickhousePart, kafkaPart, registryPart, type Report } from './parts.ts'
import { openSupervisor, type Part, type PartDeath } from './supervisor.ts'

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
  const kafka = config.kafka
    ? undefined
    : kafkaPart(supervisor, reporter(onProgress, 'kafka'), {
        partsDir,
        throughput: config.throughput ?? false,
      })
  const clickhouse = config.clickhouse
    ? undefined
    : clickhousePart(supervisor, reporter(onProgress, 'clickhouse'))
  const registry =
    config.registry || !kafka ? undefined : registryPart(supervisor, reporter(onProgress, 'registry'), kafka)
  try {
    await Promise.all([clickhouse?.start(), kafka?.start().then(() => registry?.start())])
  } catch (error) {
    await supervisor.stop().catch(() => {})
    throw error
  }
  const connections = {
    kafka: config.kafka ?? { bootstrapBrokers: [kafka?.running?.broker ?? ''] },
    clickhouse: config.clickhouse ?? { url: clickhouse?.running?.url ?? '' },
    registry: config.registry ?? { url: registry?.running?.url ?? '' },
  }
  return {
    kafkaBrokers: connections.kafka.bootstrapBrokers,
    clickhouseUrl: connections.clickhouse.url,
    registryUrl: connections.registry.url,
    dataDir,
    connections,
    parts: { ...(kafka && { kafka }), ...(clickhouse && { clickhouse }), ...(registry && { registry }) },
    orphansKilled: supervisor.orphansKilled,
    stop: () => supervisor.stop(),
  }
}
