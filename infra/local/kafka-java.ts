import type { KafkaParts } from './kafka-parts.ts'

/** How to run Kafka's main class. */
export interface KafkaRun {
  parts: KafkaParts
  archive: { readonly options: readonly string[] }
  settingsFile: string
  loggingFile: string
  heapMb?: number
  /** Compile for speed and not for a quick start. */
  throughput?: boolean
}

/** Arguments of java. Memory is bounded; a broker that runs out of it ends rather than limps. */
export function kafkaArgs({
  parts,
  archive,
  settingsFile,
  loggingFile,
  heapMb,
  throughput = false,
}: KafkaRun): string[] {
  return [
    `-Xmx${heapMb ?? (throughput ? 1024 : 512)}m`,
    '-XX:MaxDirectMemorySize=128m',
    '-XX:+ExitOnOutOfMemoryError',
    ...(throughput ? [] : ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']),
    ...archive.options,
    '-Xlog:disable',
    '-Xlog:all=error',
    `-Dlog4j2.configurationFile=${loggingFile}`,
    '-cp',
    parts.classPath,
    'kafka.Kafka',
    settingsFile,
  ]
}
