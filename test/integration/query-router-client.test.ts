import { createClient } from '@clickhouse/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { failOnLeaks } from '../support/leaks.ts'
import { CLIENT_CASES } from './query-router-client-cases.ts'
import { type Instances, openRouter, startInstances } from './query-router-world.ts'

failOnLeaks()

const TABLE = `(k String, v UInt64, t DateTime DEFAULT toDateTime(v), l Array(String)) ENGINE = MergeTree ORDER BY (k, v)`
let instances: Instances
let router: Awaited<ReturnType<typeof openRouter>>

beforeAll(async () => {
  instances = await startInstances(3)
  const tables = CLIENT_CASES.flatMap((_, i) => ['plain', 'packed'].map((how) => `t_${how}_${i}`))
  const direct = createClient({ url: instances.list[0]?.url ?? '' })
  for (const table of tables) await direct.command({ query: `CREATE TABLE direct_${table} ${TABLE}` })
  await direct.close()
  router = await openRouter(instances.list, {
    replicas: 2,
    tables: tables.map((table) => ({
      database: 'default',
      table,
      keyColumn: 'k',
      keyType: 'string' as const,
    })),
  })
  await Promise.all(
    instances.list.map(async ({ url }) => {
      const client = createClient({ url })
      for (const table of tables) await client.command({ query: `CREATE TABLE ${table} ${TABLE}` })
      await client.close()
    }),
  )
})
afterAll(async () => {
  await router.close()
  await instances.stop()
})

describe.each([
  { how: 'plain', compression: {} },
  { how: 'packed', compression: { request: true, response: true } },
])('the client gives the same through the router as directly: $how', ({ how, compression }) => {
  test.each(CLIENT_CASES.map((c, i) => ({ ...c, i })))('$name', async ({ run, i }) => {
    const options = { compression, request_timeout: 30_000 }
    const direct = createClient({ url: instances.list[0]?.url ?? '', ...options })
    const routed = createClient({ url: router.router.url, ...options })
    try {
      const expected = await run(direct, `direct_t_${how}_${i}`)
      expect(await run(routed, `t_${how}_${i}`)).toEqual(expected)
    } finally {
      await direct.close()
      await routed.close()
    }
  })
})
