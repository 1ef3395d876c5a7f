import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failOnLeaks } from '../../support/leaks.ts'
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
