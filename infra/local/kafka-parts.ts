import { createHash } from 'node:crypto'
import { existsSync, readdirSync, realpathSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fetchWithMaven, type RunMaven } from './maven.ts'

/** The version of Apache Kafka that the embedded stack runs. */
const KAFKA_VERSION = '4.3.1'

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>forestall</groupId><artifactId>kafka-parts</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId><version>2.25.4</version></dependency>
  </dependencies>
</project>
`

/** Kafka's jars on disk. */
export interface KafkaParts {
  readonly folder: string
  /** All jars, sorted: an archive of classes is only valid for the very same class path. */
  readonly classPath: string
}

/** Fetches Kafka's jars into `<partsDir>/kafka-<version>` (44 MB, about 10 s) unless they are there. */
export async function kafkaParts(
  partsDir: string,
  onPreparing?: (detail: string) => void,
  signal?: AbortSignal,
): Promise<KafkaParts> {
  const folder = join(partsDir, `kafka-${KAFKA_VERSION}`)
  if (!existsSync(folder)) onPreparing?.(`fetching Apache Kafka ${KAFKA_VERSION} with Maven`)
  const fill = async (run: RunMaven, target: string): Promise<void> => {
    writeFileSync(join(target, 'pom.xml'), POM)
    await run('copy-dependencies', '-DoutputDirectory=lib', '-DincludeScope=runtime')
  }
  await fetchWithMaven(folder, `Apache Kafka ${KAFKA_VERSION}`, fill, signal)
  const lib = join(folder, 'lib')
  const jars = readdirSync(lib).filter((name) => name.endsWith('.jar'))
  return {
    folder,
    classPath: jars
      .sort()
      .map((name) => join(lib, name))
      .join(':'),
  }
}

/**
 * Java options that start Kafka from an archive of its loaded classes (JEP 350): 3.4 s become 1.3 s.
 * Without an archive the process writes one when it stops cleanly; `finish` then puts it in place.
 * The name holds the Java it is for: another Java could not use it. `write` false: use an archive, write none.
 */
export function classArchive(
  parts: KafkaParts,
  java: string,
  write = true,
): { options: string[]; finish(): void } {
  const path = realpathSync(java)
  const id = createHash('sha256')
    .update(`${path} ${statSync(path).mtimeMs} ${parts.classPath}`)
    .digest('hex')
  const archive = join(parts.folder, `classes-${id.slice(0, 12)}.jsa`)
  if (existsSync(archive)) return { options: [`-XX:SharedArchiveFile=${archive}`], finish: () => {} }
  if (!write) return { options: [], finish: () => {} }
  removeAbandoned(parts.folder)
  const partial = `${archive}.${process.pid}.${Date.now()}.tmp`
  return {
    options: [`-XX:ArchiveClassesAtExit=${partial}`],
    finish: () => {
      if (existsSync(partial)) renameSync(partial, archive)
    },
  }
}

const ABANDONED_AFTER_MS = 3_600_000

/** A process that was killed while it wrote its archive leaves a partial one behind. */
function removeAbandoned(folder: string): void {
  for (const name of readdirSync(folder).filter((name) => name.endsWith('.tmp'))) {
    const path = join(folder, name)
    if (Date.now() - statSync(path).mtimeMs > ABANDONED_AFTER_MS) rmSync(path, { force: true })
  }
}
