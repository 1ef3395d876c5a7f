import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ForestallError, isError } from '#core/ports'
import { startChild } from './child.ts'
import { kafkaArgs } from './kafka-java.ts'
import { classArchive, type KafkaParts } from './kafka-parts.ts'
import { BROKER_FENCED, FENCING_LOGGING, fencingSettings, type KafkaPlace } from './kafka-settings.ts'

/** A Kafka that may have crashed. */
interface StoppedKafka {
  java: string
  parts: KafkaParts
  folder: string
  place: KafkaPlace
  logFile: string
  onSpawn: ((pid: number) => void) | undefined
  signal: AbortSignal | undefined
}

const FENCE_TIMEOUT_MS = 10_000
const STOP_TIMEOUT_MS = 30_000

const WRITTEN_TIMEOUT_MS = 10_000
const POLL_MS = 10

const metadataFolder = (logDir: string): string => join(logDir, '__cluster_metadata-0')

/** Kafka leaves a marker when it stops cleanly, and removes it when it starts. */
const hasCrashed = (logDir: string): boolean =>
  existsSync(metadataFolder(logDir)) && !existsSync(join(logDir, '.kafka_cleanshutdown'))

function metadataBytes(logDir: string): number {
  const folder = metadataFolder(logDir)
  const logs = readdirSync(folder).filter((name) => name.endsWith('.log'))
  return logs.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0)
}

/**
 * Waits until what the controller has decided so far is in its log. It logs a decision before it appends it, and
 * appends an idle record every 100 ms: after two more appends the decision is one of them, or before them.
 */
async function decisionsWritten(logDir: string): Promise<void> {
  const deadline = performance.now() + WRITTEN_TIMEOUT_MS
  for (let appends = 0, bytes = metadataBytes(logDir); appends < 2; ) {
    if (performance.now() > deadline)
      throw new ForestallError('STACK_FAILED', 'The controller of Kafka does not write.')
    await delay(POLL_MS)
    const now = metadataBytes(logDir)
    if (now > bytes) appends++
    bytes = now
  }
}

/**
 * After a crash, runs the controller alone until it has fenced the broker that is gone. Without this, the new
 * broker first acts on metadata from before the crash and loses its leaderships once the old session ends. In
 * that moment its transaction coordinator takes partitions without a leader for deleted and drops the markers of
 * transactions that were committed just before the crash, so `read_committed` readers would wait for ever. (Seen
 * with 4.3.1 in one of three crashes right after a commit; the broker's log, at INFO: "Couldn't find leader
 * endpoint for partitions ... likely deleted already and hence can be skipped".) It also saves most of the 9 s
 * for which the controller refuses a new broker.
 */
export async function fenceCrashedBroker(kafka: StoppedKafka): Promise<void> {
  const { java, parts, folder, place, logFile, onSpawn, signal } = kafka
  if (!hasCrashed(place.logDir)) return
  const settingsFile = join(folder, 'fencing.properties')
  const loggingFile = join(folder, 'fencing-log4j2.properties')
  writeFileSync(settingsFile, fencingSettings(place))
  writeFileSync(loggingFile, FENCING_LOGGING)
  const archive = classArchive(parts, java, false)
  const controller = await startChild(
    {
      name: 'The controller of Kafka',
      command: java,
      args: kafkaArgs({ parts, archive, settingsFile, loggingFile }),
      cwd: folder,
      logFile,
      readyText: BROKER_FENCED,
      readyTimeoutMs: FENCE_TIMEOUT_MS,
      stopTimeoutMs: STOP_TIMEOUT_MS,
      signal,
    },
    onSpawn,
  ).catch((error: unknown) => {
    // A broker that crashed before it was ready is fenced already, so there is no such line.
    if (isError(error, 'STACK_FAILED') && error.message.includes('not ready within')) return undefined
    throw error
  })
  if (!controller) return
  try {
    await decisionsWritten(place.logDir)
  } finally {
    await controller.stop()
  }
}
