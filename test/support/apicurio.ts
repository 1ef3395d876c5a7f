import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fetchWithMaven, findProgram, freePort, startChild } from '#infra/local'

const VERSION = '2.6.13.Final'
const ARCHIVE = `apicurio-registry-app-${VERSION}-all.tar.gz`

/** A running Apicurio Registry, an independent implementation of Confluent's API. Its storage is memory. */
export interface Apicurio {
  /** Of the Confluent API. */
  readonly url: string
  stop(): Promise<void>
}

/** Fetches Apicurio Registry into the folder of parts (once, 140 MB) and starts it. Throws SERVICE_MISSING. */
export async function startApicurio(dataDir: string): Promise<Apicurio> {
  const folder = resolve('.forestall/parts', `apicurio-${VERSION}`)
  await fetchWithMaven(folder, `Apicurio Registry ${VERSION}`, async (run, target) => {
    await run(
      'copy',
      `-Dartifact=io.apicurio:apicurio-registry-app:${VERSION}:tar.gz:all`,
      '-DoutputDirectory=.',
    )
    execFileSync('tar', ['xzf', ARCHIVE], { cwd: target })
    rmSync(join(target, ARCHIVE))
  })
  const port = await freePort()
  const child = await startChild({
    name: 'Apicurio Registry',
    command: findProgram('java'),
    args: [
      '-Xmx256m',
      '-XX:TieredStopAtLevel=1',
      '-Dquarkus.http.host=127.0.0.1',
      `-Dquarkus.http.port=${port}`,
      '-jar',
      join(folder, `apicurio-registry-app-${VERSION}-runner.jar`),
    ],
    cwd: dataDir,
    logFile: join(dataDir, 'apicurio.log'),
    readyText: 'Listening on',
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 10_000,
  })
  return { url: `http://127.0.0.1:${port}/apis/ccompat/v7`, stop: () => child.stop() }
}
