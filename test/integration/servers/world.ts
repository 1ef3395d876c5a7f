import {
  type ClickHouseClient,
  type ClickHouseClientConfigOptions,
  ClickHouseLogLevel,
  createClient,
} from '@clickhouse/client'
import { uniqueName } from '../../support/unique.ts'
import { type Instances, startInstances } from '../query-router-world.ts'

/** Instances for a suite, with a database of its own at each. */
export interface Servers {
  readonly list: readonly { readonly name: string; readonly url: string }[]
  readonly database: string
  /** What the router acts as; nothing for the default user without a password. */
  readonly user: { readonly user?: string }
  readonly password: { readonly password?: string }
  /** A client of any of them, or of the router before them. */
  client(url: string, options?: ClickHouseClientConfigOptions): ClickHouseClient
  /** Runs a statement at each. */
  everywhere(query: string): Promise<void>
  stop(): Promise<void>
}

/** Whether real servers were given: CLICKHOUSE_SERVER_URLS, with commas between. */
export const SERVER_URLS = (process.env['CLICKHOUSE_SERVER_URLS'] ?? '')
  .split(',')
  .filter((url) => url !== '')

/**
 * The first of the servers in CLICKHOUSE_SERVER_URLS (user and password: CLICKHOUSE_SERVER_USER,
 * CLICKHOUSE_SERVER_PASSWORD), or as many embedded instances.
 */
export async function openServers(count: number): Promise<Servers> {
  if (SERVER_URLS.length > 0 && SERVER_URLS.length < count)
    throw new Error(`CLICKHOUSE_SERVER_URLS names ${SERVER_URLS.length} servers; ${count} are needed.`)
  const embedded: Instances | null = SERVER_URLS.length > 0 ? null : await startInstances(count)
  const list = embedded?.list ?? SERVER_URLS.slice(0, count).map((url, i) => ({ name: `i${i}`, url }))
  const { CLICKHOUSE_SERVER_USER: username, CLICKHOUSE_SERVER_PASSWORD: password } = process.env
  const database = uniqueName('forestall_check')
  const login = {
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  }
  const client = (url: string, options: ClickHouseClientConfigOptions = {}): ClickHouseClient =>
    createClient({
      url,
      ...login,
      database,
      request_timeout: 30_000,
      // Many of the errors are wanted.
      log: { level: ClickHouseLogLevel.OFF },
      ...options,
    })

  async function everywhere(query: string, options: ClickHouseClientConfigOptions = {}): Promise<void> {
    await Promise.all(
      list.map(async ({ url }) => {
        const own = client(url, options)
        try {
          await own.command({ query })
        } finally {
          await own.close()
        }
      }),
    )
  }

  await everywhere(`CREATE DATABASE ${database}`, { database: 'default' })
  return {
    list,
    database,
    user: username === undefined ? {} : { user: username },
    password: password === undefined ? {} : { password },
    client,
    everywhere,
    async stop() {
      if (embedded !== null) return embedded.stop()
      await everywhere(`DROP DATABASE ${database} SYNC`, { database: 'default' })
    },
  }
}
