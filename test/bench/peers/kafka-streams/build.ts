import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ForestallError } from '#core/ports'
import { fetchWithMaven, findProgram } from '#infra/local'

const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const SOURCES = join(FOLDER, 'src', 'forestall', 'peer')

/** What starts the peer. */
export interface PeerBuild {
  readonly java: string
  readonly classPath: string
}

/**
 * Fetches the jars of Kafka Streams and Avro from Maven Central (100 MB, about 10 s) and compiles the peer, unless
 * that has been done. Everything is kept in `partsDir`. Throws SERVICE_MISSING without Maven or a JDK (17 or later),
 * CONFIG_INVALID with what the compiler says.
 */
export async function buildPeer(partsDir = join('.forestall', 'parts')): Promise<PeerBuild> {
  const java = findProgram('java')
  const pom = join(FOLDER, 'pom.xml')
  const jars = resolve(partsDir, `kafka-streams-peer-jars-${digest([pom])}`)
  await fetchWithMaven(jars, 'Kafka Streams', async (run, folder) => {
    copyFileSync(pom, join(folder, 'pom.xml'))
    await run('copy-dependencies', `-DoutputDirectory=${folder}`, '-DincludeScope=runtime')
  })
  const sources = readdirSync(SOURCES)
    .sort()
    .map((name) => join(SOURCES, name))
  const classes = resolve(partsDir, `kafka-streams-peer-classes-${digest([pom, ...sources])}`)
  if (!existsSync(classes)) await compile(java, sources, join(jars, '*'), classes)
  return { java, classPath: `${classes}:${join(jars, '*')}` }
}

function digest(files: readonly string[]): string {
  const hash = createHash('sha256')
  for (const file of files) hash.update(readFileSync(file))
  return hash.digest('hex').slice(0, 12)
}

/** Compiles under another name and renames: several processes may do this at once. */
async function compile(
  java: string,
  sources: readonly string[],
  classPath: string,
  target: string,
): Promise<void> {
  const javac = join(dirname(realpathSync(java)), 'javac')
  if (!existsSync(javac)) {
    throw new ForestallError('SERVICE_MISSING', `There is no Java compiler beside ${java}.`, {
      cure: 'Install a JDK, 17 or later (Debian: apt-get install openjdk-17-jdk-headless), or set JAVA_HOME to one.',
    })
  }
  const folder = `${target}.${process.pid}.tmp`
  mkdirSync(folder, { recursive: true })
  const child = spawn(javac, ['-d', folder, '-cp', classPath, '--release', '17', ...sources])
  let said = ''
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString()
  })
  const [code] = (await once(child, 'close')) as [number | null]
  try {
    if (code !== 0) throw new ForestallError('CONFIG_INVALID', `The peer does not compile:\n${said}`)
    renameSync(folder, target)
  } catch (error) {
    // Another process was faster: its classes are as good as ours.
    if (!existsSync(target)) throw error
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
