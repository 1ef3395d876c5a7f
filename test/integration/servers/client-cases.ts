import { Readable } from 'node:stream'
import { ClickHouseError, type ClickHouseClient, type DataFormat } from '@clickhouse/client'

/** A case of the real client: what it gives must be the same whether it goes through the router or not. */
export interface ClientCase {
  readonly name: string
  /** `table` is empty before: columns k String, v UInt64, t DateTime DEFAULT toDateTime(v), l Array(String). */
  readonly run: (client: ClickHouseClient, table: string) => Promise<unknown>
}

const rows = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ k: `k${i}`, v: i, l: [`a${i}`, "it's", 'tab\tü€'] }))
const keysOf = (n: number) => Array.from({ length: n }, (_, i) => `k${i}`)

async function readBack(client: ClickHouseClient, table: string, n: number): Promise<unknown[]> {
  const found: unknown[] = []
  // The answers of one key each: a sharded table is asked by its key.
  for (const k of keysOf(n)) {
    const result = await client.query({
      query: `SELECT k, v, toUnixTimestamp(t) AS t, l FROM ${table} WHERE k = {k:String} ORDER BY v`,
      query_params: { k },
      format: 'JSONEachRow',
    })
    found.push(...(await result.json<unknown>()))
  }
  return found
}

async function failureOf(work: () => Promise<unknown>): Promise<unknown> {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof ClickHouseError)) return { isAbort: /abort/i.test(String(error)) }
    // Names of staging tables and versions differ, what went wrong does not.
    return { code: error.code, type: error.type }
  }
  return 'no failure'
}

const roundTrip = (format: DataFormat, make: (n: number) => readonly unknown[]): ClientCase => ({
  name: `insert and read back: ${format}`,
  async run(client, table) {
    await client.insert({ table, values: make(20), format, columns: ['k', 'v', 'l'] })
    return readBack(client, table, 20)
  },
})

export const CLIENT_CASES: readonly ClientCase[] = [
  { name: 'ping', run: async (client) => (await client.ping()).success },
  {
    name: 'a query without a table',
    run: async (client) =>
      (await (await client.query({ query: "SELECT 1 AS one, version() != '' AS v" })).json()).data,
  },
  roundTrip('JSONEachRow', (n) => rows(n)),
  roundTrip('JSONCompactEachRow', (n) => rows(n).map(({ k, v, l }) => [k, v, l])),
  {
    name: 'insert as a stream of CSV text',
    async run(client, table) {
      const values = Readable.from(
        keysOf(12).map((k, i) => `"${k}",${i},"['x']"\n`),
        { objectMode: false },
      )
      await client.insert({ table, values, format: 'CSV', columns: ['k', 'v', 'l'] })
      return readBack(client, table, 12)
    },
  },
  {
    name: 'insert as a stream of objects',
    async run(client, table) {
      await client.insert({ table, values: Readable.from(rows(30)), format: 'JSONEachRow' })
      return readBack(client, table, 30)
    },
  },
  {
    name: 'VALUES in the statement',
    async run(client, table) {
      await client.command({
        query: `INSERT INTO ${table} (k, v, l) /* rows */ VALUES ('k0', 1, ['a','b']), ('k1', 2, []), ('k;2', 3, ['--'])`,
      })
      return [...(await readBack(client, table, 2)), ...(await readKey(client, table, 'k;2'))]
    },
  },
  {
    name: 'defaults of columns that the rows leave out',
    async run(client, table) {
      await client.insert({ table, values: [{ k: 'k0', v: 86_400 }], format: 'JSONEachRow' })
      return readBack(client, table, 1)
    },
  },
  {
    name: 'compressed requests and answers',
    async run(client, table) {
      await client.insert({ table, values: rows(200), format: 'JSONEachRow' })
      return readBack(client, table, 5)
    },
  },
  {
    name: 'parameters: arrays, numbers, text with quotes',
    async run(client, table) {
      await client.insert({
        table,
        values: [
          { k: "it's", v: 7, l: [] },
          { k: 'tab\there', v: 8, l: [] },
        ],
        format: 'JSONEachRow',
      })
      const one = await client.query({
        query: `SELECT v FROM ${table} WHERE k IN {ks:Array(String)} AND v = {v:UInt64}`,
        query_params: { ks: ["it's"], v: 7 },
        format: 'JSONCompact',
      })
      return [(await one.json<unknown[]>()).data, await readKey(client, table, 'tab\there')]
    },
  },
  ...(['JSON', 'JSONCompact', 'TabSeparated', 'CSVWithNames', 'Parquet'] as const).map((format) => ({
    name: `answers in ${format}`,
    async run(client: ClickHouseClient) {
      const result = await client.query({
        query: 'SELECT number, toString(number) AS s FROM numbers(3)',
        format,
      })
      const text = await result.text()
      return format === 'Parquet'
        ? text.length > 100
        : text.replace(/"(elapsed|bytes_read|rows_read)": ?[\d.e-]+/g, '"$1":0')
    },
  })),
  {
    name: 'a large answer as a stream',
    async run(client) {
      const result = await client.query({
        query: "SELECT number AS n, repeat('x', 100) AS s FROM numbers(200000)",
        format: 'JSONEachRow',
      })
      let count = 0
      let sum = 0
      for await (const part of result.stream<{ n: string }>()) {
        for (const row of part) {
          count++
          sum += Number(row.json<{ n: string }>().n)
        }
      }
      return [count, sum]
    },
  },
  {
    name: 'settings of a query',
    run: async (client) =>
      (
        await client.query({
          query: 'SELECT toUInt64(7) AS n',
          format: 'JSONEachRow',
          clickhouse_settings: { output_format_json_quote_64bit_integers: 1 },
        })
      ).json(),
  },
  {
    name: 'the id of a query comes back',
    run: async (client, table) => {
      // A server refuses an id that another query still has.
      const [readId, writtenId] = [`${table}-1`, `${table}-2`]
      const read = await client.query({ query: 'SELECT 1', query_id: readId })
      await read.text()
      const written = await client.insert({
        table,
        values: rows(1),
        format: 'JSONEachRow',
        query_id: writtenId,
      })
      const sameIds = [read.query_id === readId, written.query_id === writtenId]
      return [sameIds, written.executed, written.summary?.written_rows]
    },
  },
  {
    name: 'errors of queries keep code and type',
    run: async (client, table) =>
      Promise.all(
        [
          'SELEC 1',
          'SELECT throwIf(1)',
          'SELECT * FROM no_such_table_at_all',
          'SELECT * FROM no_such_database.t',
          `SELECT nothing_of_that_name FROM ${table} WHERE k = 'a'`,
          'SELECT {missing:String}',
          'SELECT 1; SELECT 2',
          '',
        ].map((query) => failureOf(async () => (await client.query({ query })).text())),
      ),
  },
  {
    name: 'rows that cannot be parsed are refused, and none of the insert is kept',
    async run(client, table) {
      const bad = [
        await failureOf(() =>
          client.insert({ table, values: [{ k: 'k0', v: 'many' }], format: 'JSONEachRow' }),
        ),
        await failureOf(() => client.insert({ table, values: [{ k: 'k0', x: 1 }], format: 'JSONEachRow' })),
        await failureOf(() =>
          client.insert({ table, values: [...rows(3), { k: 'k3', v: -1.5 }], format: 'JSONEachRow' }),
        ),
        await failureOf(() =>
          client.command({ query: `INSERT INTO ${table} (k, v) VALUES ('k0', 1), ('k1'` }),
        ),
        await failureOf(() =>
          client.insert({ table: 'no_such_table_at_all', values: rows(1), format: 'JSONEachRow' }),
        ),
        await failureOf(() =>
          client.insert({ table, values: rows(1), format: 'JSONEachRow', columns: ['k', 'nope'] }),
        ),
      ]
      return [bad, await readBack(client, table, 4)]
    },
  },
  {
    name: 'an aborted query is an abort',
    async run(client) {
      const abort = new AbortController()
      const running = client.query({
        // A server would go on with what nobody waits for.
        query: 'SELECT sum(sipHash64(number)) FROM numbers(100000000000) SETTINGS max_execution_time = 5',
        abort_signal: abort.signal,
      })
      setTimeout(() => abort.abort(), 50)
      return failureOf(() => running)
    },
  },
  {
    name: 'many queries at the same time, none mixed up',
    run: async (client) =>
      Promise.all(
        Array.from({ length: 50 }, async (_, i) =>
          (
            await client.query({
              query: 'SELECT {i:UInt32} AS i',
              query_params: { i },
              format: 'JSONEachRow',
            })
          ).json(),
        ),
      ),
  },
]

async function readKey(client: ClickHouseClient, table: string, k: string): Promise<unknown[]> {
  const result = await client.query({
    query: `SELECT k, v, l FROM ${table} WHERE k = {k:String}`,
    query_params: { k },
    format: 'JSONEachRow',
  })
  return result.json<unknown>()
}
