import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { rememberedPort } from './free-port.ts'
import { newClusterId, startKafka, type KafkaProcess } from './kafka-process.ts'
import type { KafkaListener } from './kafka-settings.ts'
import { reported, type Report } from './parts.ts'
import type { LaunchContext, Part, Supervisor } from './supervisor.ts'

/** Settings of a cluster. */
export interface KafkaClusterOptions {
  partsDir: string
  nodes: number
  /** Of one node. Default 256. */
  heapMb?: number
  /** Further listeners of a node (from 1). */
  listeners?: (node: number) => readonly KafkaListener[]
}

/** Several embedded KRaft nodes, each broker and controller. */
export interface KafkaCluster {
  /** One part per node; that of node 1 first. A node that starts needs a majority of them. */
  readonly parts: readonly Part<KafkaProcess>[]
  /** Starts all that do not run, side by side; resolves with the addresses of all. */
  start(): Promise<string[]>
}

/** A file keeps the id of the cluster: nodes that are formatted later must have the same. */
function clusterIdOf(dataDir: string): string {
  const file = join(dataDir, 'kafka-cluster-id')
  if (!existsSync(file)) writeFileSync(file, newClusterId())
  return readFileSync(file, 'utf8').trim()
}

interface Ports {
  readonly brokers: readonly number[]
  readonly voters: readonly number[]
}

async function choosePorts(dataDir: string, ids: readonly number[]): Promise<Ports> {
  const brokers: number[] = []
  const voters: number[] = []
  for (const id of ids) {
    brokers.push(await rememberedPort(dataDir, `kafka-${id}`))
    voters.push(await rememberedPort(dataDir, `kafka-${id}-controller`))
  }
  return { brokers, voters }
}

/** The parts of a cluster; nothing runs before they are started. Ports are kept over restarts. */
export function kafkaCluster(
  supervisor: Supervisor,
  report: Report,
  options: KafkaClusterOptions,
): KafkaCluster {
  const { dataDir } = supervisor
  const { partsDir, heapMb = 256, listeners = () => [] } = options
  const ids = Array.from({ length: options.nodes }, (_, i) => i + 1)
  let ports: Promise<Ports> | undefined

  async function launch(id: number, { onSpawn, signal }: LaunchContext): Promise<KafkaProcess> {
    report('preparing')
    ports ??= choosePorts(dataDir, ids)
    const { brokers, voters } = await ports
    return await startKafka({
      dataDir,
      partsDir,
      heapMb,
      node: { id, port: brokers[id - 1] ?? 0, voterPorts: voters, clusterId: clusterIdOf(dataDir) },
      listeners: listeners(id),
      logFile: join(dataDir, 'logs', `kafka-${id}.log`),
      signal,
      onPreparing: (detail) => report('preparing', detail),
      onSpawn: (pid) => {
        onSpawn(pid)
        report('starting')
      },
    })
  }

  const parts = ids.map((id) =>
    supervisor.part(`kafka-${id}`, (context) =>
      reported(
        report,
        (it) => it.broker,
        () => launch(id, context),
      ),
    ),
  )
  return {
    parts,
    start: async () => (await Promise.all(parts.map((part) => part.start()))).map(({ broker }) => broker),
  }
}
