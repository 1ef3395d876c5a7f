import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { ForestallError, isError } from '#core/ports'
import { startChild, type Child } from './child.ts'
import { rememberedPort } from './free-port.ts'
import { fenceCrashedBroker } from './kafka-fencing.ts'
import { kafkaArgs } from './kafka-java.ts'
import { classArchive, kafkaParts, type KafkaParts } from './kafka-parts.ts'
import {
  KAFKA_LOGGING,
  KAFKA_READY,
  kafkaSettings,
  type KafkaListener,
  type KafkaPlace,
} from './kafka-settings.ts'
import { findProgram, runProgram } from './programs.ts'

/** Settings of the embedded Kafka. */
export interface KafkaProcessOptions {
  /** Kafka's own files go to `<dataDir>/kafka`. */
  dataDir: string
  /** Where the jars are kept; several data folders may share it. Default `<dataDir>/parts`. */
  partsDir?: string
  /** Default: that of the last start of this data folder if it is free, else any free one. */
  port?: number
  /** One node of several; its own files go to `<dataDir>/kafka-<id>`. Default: a cluster of one. */
  node?: KafkaNode
  /** Further listeners, as a relay needs one. */
  listeners?: readonly KafkaListener[]
  logFile?: string
  heapMb?: number
  /** Compile for speed (benches) and not for a quick start (tests). */
  throughput?: boolean
  /** Told before the jars are fetched. */
  onPreparing?: (detail: string) => void
  /** Told as soon as the process exists, before it is ready. */
  onSpawn?: (pid: number) => void
  /** Ends a start that is under way. */
  signal?: AbortSignal
}

/** A node's place in its cluster; every node must be given the same. */
export interface KafkaNode {
  /** From 1. */
  readonly id: number
  readonly port: number
  /** Of all nodes, that of node 1 first. */
  readonly voterPorts: readonly number[]
  readonly clusterId: string
}

/** A running embedded Kafka. */
export interface KafkaProcess extends Child {
  /** `host:port` */
  readonly broker: string
  readonly port: number
}

const READY_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000
/** The last nodes of a cluster to stop have no quorum that would let them go. */
const NODE_STOP_TIMEOUT_MS = 5000
const PORT_ATTEMPTS = 3

/**
 * Starts Apache Kafka (KRaft, one node, loopback only) as a child process; resolves once it answers.
 * The first start fetches the jars. Throws SERVICE_MISSING without Java or Maven, STACK_FAILED with the
 * last lines of the log.
 */
export async function startKafka(options: KafkaProcessOptions): Promise<KafkaProcess> {
  const dataDir = resolve(options.dataDir)
  const partsDir = resolve(options.partsDir ?? join(dataDir, 'parts'))
  const java = findProgram('java')
  const parts = await kafkaParts(partsDir, options.onPreparing, options.signal)
  const { node, listeners = [] } = options
  const folder = join(dataDir, node === undefined ? 'kafka' : `kafka-${node.id}`)
  mkdirSync(folder, { recursive: true })
  if (node !== undefined) {
    const { id, port, voterPorts } = node
    const controllerPort = voterPorts[id - 1] ?? 0
    const place = { nodeId: id, port, controllerPort, voterPorts, listeners, logDir: join(folder, 'data') }
    return await launch(options, { java, parts, folder, place })
  }
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await rememberedPort(dataDir, 'kafka', attempt > 1))
    const controllerPort = await rememberedPort(dataDir, 'kafka-controller', attempt > 1)
    const place = { port, controllerPort, listeners, logDir: join(folder, 'data') }
    try {
      return await launch(options, { java, parts, folder, place })
    } catch (error) {
      const portTaken = isError(error, 'STACK_FAILED') && error.message.includes('Address already in use')
      if (!portTaken || options.port !== undefined || attempt === PORT_ATTEMPTS) throw explain(error)
    }
  }
}

interface Launch {
  java: string
  parts: KafkaParts
  folder: string
  place: KafkaPlace
}

async function launch(
  options: KafkaProcessOptions,
  { java, parts, folder, place }: Launch,
): Promise<KafkaProcess> {
  const { onSpawn, logFile = join(folder, 'kafka.log') } = options
  const settingsFile = join(folder, 'server.properties')
  const loggingFile = join(folder, 'log4j2.properties')
  writeFileSync(settingsFile, kafkaSettings(place))
  writeFileSync(loggingFile, KAFKA_LOGGING)
  await formatOnce({ java, parts, folder, place }, settingsFile, options.node?.clusterId ?? newClusterId())
  // Of several nodes the others are the controllers, and fence it.
  if (options.node === undefined)
    await fenceCrashedBroker({ java, parts, folder, place, logFile, onSpawn, signal: options.signal })
  const archive = classArchive(parts, java)
  const child = await startChild(
    {
      name: 'Kafka',
      command: java,
      args: kafkaArgs({ ...options, parts, archive, loggingFile, settingsFile }),
      cwd: folder,
      logFile,
      readyText: KAFKA_READY,
      readyTimeoutMs: READY_TIMEOUT_MS,
      stopTimeoutMs: options.node === undefined ? STOP_TIMEOUT_MS : NODE_STOP_TIMEOUT_MS,
      signal: options.signal,
    },
    onSpawn,
  )
  const stop = async (): Promise<void> => {
    await child.stop()
    // A JVM that was killed has not finished its archive.
    if ((await child.exited).startsWith('exit code')) archive.finish()
  }
  return { ...child, stop, broker: `127.0.0.1:${place.port}`, port: place.port }
}

/** A new id of a cluster. Kafka's tools take one that begins with a dash for an option. */
export const newClusterId = (): string => randomBytes(16).toString('base64url').replace(/^-/, 'A')

/** Writes the cluster id into an empty log folder. A marker tells a finished format from an interrupted one. */
async function formatOnce(
  { java, parts, folder, place }: Launch,
  settingsFile: string,
  clusterId: string,
): Promise<void> {
  const marker = join(folder, 'formatted')
  if (existsSync(marker)) return
  rmSync(place.logDir, { recursive: true, force: true })
  const args = [
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    ...classArchive(parts, java, false).options,
    '-cp',
    parts.classPath,
    'kafka.tools.StorageTool',
  ]
  await runProgram(java, [...args, 'format', '-t', clusterId, '-c', settingsFile], {
    what: 'Formatting the storage of Kafka',
  })
  writeFileSync(marker, `${clusterId}\n`)
}

/** A Java that is too old shows itself only when it loads Kafka's classes. */
function explain(error: unknown): unknown {
  if (!(error instanceof Error) || !error.message.includes('UnsupportedClassVersionError')) return error
  return new ForestallError('SERVICE_MISSING', 'The Java found is too old for Kafka.', {
    cause: error,
    cure: 'Install Java 17 or later, and set JAVA_HOME to it if several are installed.',
  })
}
