import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import { ClickHouseLogLevel, createClient } from '@clickhouse/client'
import { ForestallError, isError, type Warehouse } from '#core/ports'
import { isSpent, notBegun, toForestallError } from './errors.ts'
import { createLife } from './life.ts'

/** Where ClickHouse is. The URL may carry credentials; they are never logged or put into errors. */
export interface WarehouseOptions {
  readonly url: string
  /** Default: `default`. */
  readonly user?: string
  readonly password?: string
  /** Default: `default`; must exist (`ensureDatabase`). */
  readonly database?: string
  /** Tries of a request before WAREHOUSE_UNAVAILABLE is thrown. Default 5. */
  readonly attempts?: number
  /** Longest wait for an answer, ms. Default 120,000. */
  readonly requestTimeoutMs?: number
}

const FIRST_RETRY_MS = 100
const MAX_RETRY_MS = 3000
/** Numbers as numbers on every server version: offsets and epochs in ms fit a double. */
const QUERY_SETTINGS = { output_format_json_quote_64bit_integers: 0 } as const
/**
 * Never asynchronous: the answer must mean that the rows are in a part. Rows of equal keys collapse at merges and under
 * FINAL as ever; looking for them in every block on its way in costs a sixth of the throughput.
 */
const INSERT_SETTINGS = { async_insert: 0, wait_end_of_query: 1, optimize_on_insert: 0 } as const

/**
 * A ClickHouse (embedded or a server of the user) over HTTP. Transient failures are retried with growing,
 * jittered pauses where a repeat does no harm: reads, inserts with a token, and whatever was not sent.
 * Methods throw WAREHOUSE_UNAVAILABLE or WAREHOUSE_REJECTED.
 */
export function createWarehouse(options: WarehouseOptions): Warehouse {
  const { url, user, password, database, attempts = 5, requestTimeoutMs = 120_000 } = options
  const host = hostOf(url)
  const client = createClient({
    url,
    ...(user === undefined ? {} : { username: user }),
    ...(password === undefined ? {} : { password }),
    ...(database === undefined ? {} : { database }),
    application: 'forestall',
    request_timeout: requestTimeoutMs,
    max_open_connections: 8,
    // The client would print statements with their settings; errors are thrown here instead.
    log: { level: ClickHouseLogLevel.OFF },
  })
  const retry = async <T>(repeatable: (error: unknown) => boolean, run: () => Promise<T>): Promise<T> => {
    for (let attempt = 1; ; attempt++) {
      try {
        return await run()
      } catch (error) {
        const mapped = toForestallError(error, host)
        const again = isError(mapped, 'WAREHOUSE_UNAVAILABLE') && repeatable(error)
        if (!again || attempt >= attempts) throw mapped
        await delay(retryMs(attempt))
      }
    }
  }

  const run = async (sql: string, params: Record<string, unknown> = {}): Promise<void> => {
    await client.command({
      query: sql,
      query_params: params,
      clickhouse_settings: { wait_end_of_query: 1 },
    })
  }
  const life = createLife({
    command: run,
    async value(sql) {
      const answer = await client.exec({ query: sql })
      return (await text(answer.stream)).trim()
    },
  })

  return {
    command: (sql, params) => retry(notBegun, () => run(sql, params)),
    query: <Row>(sql: string, params?: Record<string, unknown>) =>
      retry(
        (error) => !isSpent(error),
        async () => {
          const result = await client.query({
            query: sql,
            format: 'JSONEachRow',
            query_params: params ?? {},
            clickhouse_settings: QUERY_SETTINGS,
          })
          return await result.json<Row>()
        },
      ),
    async insertRowBinary(table, columns, rows, { token } = {}) {
      if (rows.length === 0) return
      const query = `INSERT INTO ${quoted(table)} (${columns.map(quoted).join(', ')}) FORMAT RowBinary`
      const insert = async (settings: Record<string, string | number>): Promise<void> => {
        const values = Readable.from([rows], { objectMode: false })
        const { stream } = await client.exec({ query, values, clickhouse_settings: settings })
        for await (const _ of stream); // the answer is empty; its end frees the socket
      }
      if (token === undefined) return retry(notBegun, () => insert(INSERT_SETTINGS))
      await retry(
        () => true,
        async () => {
          try {
            // A ClickHouse that is killed may keep the token of a block and lose its rows: a token counts for one life
            // only. What is inserted a second time after a restart collapses, as the sorting key holds the record.
            const own = `${token}@${await life.name()}`
            await insert({ ...INSERT_SETTINGS, insert_deduplication_token: own })
          } catch (error) {
            life.forget()
            throw error
          }
        },
      )
    },
    close: () => client.close(),
  }
}

/** Creates the database of these options if it is missing. */
export async function ensureDatabase(
  options: WarehouseOptions & { readonly database: string },
): Promise<void> {
  const { database, ...rest } = options
  const warehouse = createWarehouse(rest)
  try {
    await warehouse.command(`CREATE DATABASE IF NOT EXISTS ${quoted(database)}`)
  } finally {
    await warehouse.close()
  }
}

/** Half to all of a pause that doubles: clients that failed together do not come back together. */
function retryMs(attempt: number): number {
  const full = Math.min(MAX_RETRY_MS, FIRST_RETRY_MS * 2 ** (attempt - 1))
  return full * (0.5 + Math.random() / 2)
}

const quoted = (name: string): string => `\`${name.replaceAll('\\', '\\\\').replaceAll('`', '\\`')}\``

function hostOf(url: string): string {
  try {
    return new URL(url).host
  } catch (error) {
    throw new ForestallError('CONFIG_INVALID', 'CLICKHOUSE_URL is not a URL.', { cause: error })
  }
}
