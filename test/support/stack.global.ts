import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestProject } from 'vitest/node'
import { isError } from '#core/ports'
import { externalParts, startStack } from '#infra/local'

declare module 'vitest' {
  export interface ProvidedContext {
    /** `host:port`, several with commas between. */
    kafkaBrokers: string
    clickhouseUrl: string
    registryUrl: string
    /** Why there is no stack, so that the tests skip; '' if there is one. */
    stackMissing: string
  }
}

/**
 * Starts the stack once for all integration tests of a run, on a fresh data folder; downloads are kept in
 * `.forestall/parts`. Without Java, Maven or a network the tests are skipped with the reason; with
 * REQUIRE_SERVICES=1 the run fails instead.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-test-'))
  const remove = (): void => rmSync(dataDir, { recursive: true, force: true })
  const partsDir = join(project.vitest.config.root, '.forestall', 'parts')
  try {
    const stack = await startStack({ ...externalParts(process.env), dataDir, partsDir })
    project.provide('kafkaBrokers', stack.kafkaBrokers.join(','))
    project.provide('clickhouseUrl', stack.clickhouseUrl)
    project.provide('registryUrl', stack.registryUrl)
    project.provide('stackMissing', '')
    return async () => {
      await stack.stop()
      remove()
    }
  } catch (error) {
    remove()
    if (!isError(error, 'SERVICE_MISSING') || process.env['REQUIRE_SERVICES'] === '1') throw error
    for (const name of ['kafkaBrokers', 'clickhouseUrl', 'registryUrl'] as const) project.provide(name, '')
    const reason = `${error.message} ${error.cure}`
    console.warn(`Integration tests are skipped. ${reason}`)
    project.provide('stackMissing', reason)
    return async () => {}
  }
}
