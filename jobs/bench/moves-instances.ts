import { join } from 'node:path'
import { type ClickHouseProcess, startClickHouse } from '#infra/clickhouse'

/** An embedded ClickHouse that can be killed at any time and comes back at the same address. */
export interface KillableInstance {
  readonly name: string
  readonly url: string
  /** Kills it; resolves once it answers again. */
  kill(): Promise<void>
  stop(): Promise<void>
}

/** Starts an instance on a folder of its own. */
export async function startKillable(name: string, folder: string): Promise<KillableInstance> {
  const dataDir = join(folder, name)
  const logFile = join(folder, `${name}.log`)
  let gone = Promise.withResolvers<void>()
  const launch = (port?: number): Promise<ClickHouseProcess> =>
    startClickHouse({
      dataDir,
      logFile,
      ...(port === undefined ? {} : { port }),
      onExit: () => gone.resolve(),
    })
  let running = await launch()
  const { url } = running
  return {
    name,
    url,
    async kill() {
      gone = Promise.withResolvers()
      process.kill(running.pid, 'SIGKILL')
      await gone.promise
      running = await launch(Number(new URL(url).port))
    },
    stop: () => running.stop(),
  }
}
