import { errorLines } from './errors-exit.ts'
import { type QueryRouterConfig, readQueryRouterConfig } from './query-router-config.ts'
import type { OpenRouter } from './query-router-open.ts'

/**
 * Reads the file of settings again at each SIGHUP: instances that are new are taken in, those that are missing are taken
 * out if they hold nothing. Everything else needs a restart, which is said. A file that is wrong changes nothing.
 */
export function reloadOnHangUp(
  file: string,
  started: QueryRouterConfig,
  router: Pick<OpenRouter, 'instances' | 'add' | 'remove'>,
  say: (line: string) => void,
): { stop(): Promise<void> } {
  let turn: Promise<void> = Promise.resolve()
  const failed = (error: unknown): void => say(`warning: ${errorLines(error)[0]}`)

  async function reload(): Promise<void> {
    const next = readQueryRouterConfig(file)
    const rest = (config: QueryRouterConfig): string => JSON.stringify({ ...config, instances: [] })
    if (rest(next) !== rest(started)) say('warning: what has changed beside the instances needs a restart')
    const before = router.instances()
    for (const { name, url } of next.instances) {
      const known = before.find((it) => it.name === name)
      if (known === undefined) {
        await router.add({ name, url }).then(() => say(`instance ${name} is in`), failed)
      } else if (known.url !== url) {
        say(`warning: instance ${name} has another address: give it another name, or restart`)
      }
    }
    for (const { name } of before) {
      if (next.instances.some((it) => it.name === name)) continue
      await router.remove(name).then(() => say(`instance ${name} is out`), failed)
    }
  }

  const onHangUp = (): void => {
    turn = turn.then(reload).catch(failed)
  }
  process.on('SIGHUP', onHangUp)
  return {
    stop() {
      process.off('SIGHUP', onHangUp)
      return turn
    },
  }
}
