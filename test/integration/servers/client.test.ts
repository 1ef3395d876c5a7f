import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failOnLeaks } from '../../support/leaks.ts'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { openRouter } from '../query-router-world.ts'
import { CLIENT_CASES } from './client-cases.ts'
import { openServers, type Servers } from './world.ts'

failOnLeaks()

const TABLE = `(k String, v UInt64, t DateTime DEFAULT toDateTime(v), l Array(String)) ENGINE = MergeTree ORDER BY (k, v)`
let servers: Servers
let router: Awaited<ReturnType<typeof openRouter>>

beforeAll(async () => {
  servers = await openServers(3)
  const { database, user, password } = servers
  const tables = CLIENT_CASES.flatMap((_, i) => ['plain', 'packed'].map((how) => `t_${how}_${i}`))
  const direct = servers.client(servers.list[0]?.url ?? '')
  for (const table of tables) await direct.command({ query: `CREATE TABLE direct_${table} ${TABLE}` })
  await direct.close()
  const rules = tables.map((table) => ({ database, table, keyColumn: 'k', keyType: 'string' as const }))
  router = await openRouter(servers.list, { replicas: 2, tables: rules, ...user }, undefined, password)
  for (const table of tables) await servers.everywhere(`CREATE TABLE ${table} ${TABLE}`)
})
afterAll(async () => {
  await router.close()
  await servers.stop()
})

describe.each([
  { how: 'plain', compression: {} },
  { how: 'packed', compression: { request: true, response: true } },
])('the client gives the same through the router as directly: $how', ({ how, compression }) => {
  test.each(CLIENT_CASES.map((c, i) => ({ ...c, i })))('$name', async ({ run, i }) => {
    const direct = servers.client(servers.list[0]?.url ?? '', { compression })
    const routed = servers.client(router.router.url, { compression })
    try {
      const expected = await run(direct, `direct_t_${how}_${i}`)
      expect(await run(routed, `t_${how}_${i}`)).toEqual(expected)
    } finally {
      await direct.close()
      await routed.close()
    }
  })
})

test('a read whose client goes away ends at its instance', async () => {
  const mark = uniqueName('gone')
  const clients = servers.list.map(({ url }) => servers.client(url))
  const routed = servers.client(router.router.url)
  const running = async (): Promise<number> => {
    const counts = await Promise.all(
      clients.map(async (client) => {
        const query = `SELECT count() AS c FROM system.processes WHERE query LIKE '%${mark}%' AND query NOT LIKE '%system.processes%'`
        const [row] = await (await client.query({ query, format: 'JSONEachRow' })).json<{ c: string }>()
        return Number(row?.c)
      }),
    )
    return counts.reduce((sum, count) => sum + count, 0)
  }
  const abort = new AbortController()
  const query = `SELECT '${mark}', sum(sipHash64(number)) FROM numbers(1000000000000) SETTINGS max_execution_time = 50`
  const asked = routed.query({ query, abort_signal: abort.signal }).catch(() => 'gone')
  await until(async () => (await running()) === 1, { what: 'the query under way' })
  abort.abort()
  expect(await asked).toBe('gone')
  await until(async () => (await running()) === 0, { what: 'the query ended' })
  await Promise.all([...clients, routed].map((client) => client.close()))
})
