import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { type RunningCli, startCli } from '../jobs/run-cli.ts'
import { clientOf, type Instances, startInstances } from './query-router-world.ts'

failOnLeaks()

let instances: Instances
let folder = ''
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'router-restart-'))
  instances = await startInstances(1)
})
afterAll(async () => {
  await instances.stop()
  rmSync(folder, { recursive: true })
})

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

const leads = (router: RunningCli): boolean => router.stderr().includes('this router applies the log')

test('a router that is killed and comes back to its port has every row once, and runs statements and moves again', async () => {
  const file = join(folder, 'router.json')
  const service = uniqueName('restart')
  const list = instances.list.map(({ name, url }) => ({ name, url }))
  const tables = [{ table: 'orders', keyColumn: 'customer' }]
  const settings = { service, instances: list, tables, segments: 4, replicas: 1, changes: 'all' }
  const port = await freePort()
  writeFileSync(file, JSON.stringify({ ...settings, port }))
  const env = {
    KAFKA_BROKERS: inject('kafkaBrokers'),
    SCHEMA_REGISTRY_URL: inject('registryUrl'),
    CLICKHOUSE_URL: inject('clickhouseUrl'),
  }
  let router = startCli(['query-router', file], env)
  await router.firstLine()
  const client = clientOf(`http://127.0.0.1:${port}`)
  onTestFinished(() => client.close())
  await client.command({
    query: 'CREATE TABLE orders (customer String, item UInt64) ENGINE = MergeTree ORDER BY item',
  })
  const write = (item: number): Promise<unknown> =>
    client.insert({ table: 'orders', values: [{ customer: 'c', item }], format: 'JSONEachRow' })
  await write(0)
  await until(() => leads(router), { what: 'it moves segments', timeoutMs: 60_000 })
  for (let round = 1; round <= 2; round++) {
    await router.end('SIGKILL')
    router = startCli(['query-router', file], env)
    await router.firstLine()
    await write(round)
  }
  await until(() => leads(router), { what: 'it moves segments again', timeoutMs: 60_000 })
  await client.command({ query: 'ALTER TABLE orders ADD COLUMN note String' })
  await write(3)
  const result = await client.query({
    query: "SELECT item FROM orders WHERE customer = 'c' ORDER BY item",
    format: 'JSONEachRow',
  })
  expect(await result.json()).toEqual([0, 1, 2, 3].map((item) => ({ item })))
}, 180_000)
