import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ClickHouseClient } from '@clickhouse/client'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { failOnLeaks } from '../../support/leaks.ts'
import { stackEnv } from '../../support/stack-env.ts'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { type RunningRouter, startRouter } from '../query-router-process.ts'
import { openServers, type Servers } from './world.ts'

failOnLeaks()

let servers: Servers
let folder = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'router-takeover-'))
  servers = await openServers(3)
})
afterAll(async () => {
  await servers.stop()
  rmSync(folder, { recursive: true })
})

const client = (url: string): ClickHouseClient => {
  const made = servers.client(url)
  onTestFinished(() => made.close())
  return made
}

/** A file of settings for routers of one service. */
function settings(service: string): string {
  const file = join(folder, `${service}.json`)
  const { database, list, user } = servers
  const instances = list.map(({ name, url }) => ({ name, url }))
  const tables = [{ database, table: 'orders', keyColumn: 'customer' }]
  const rest = { segments: 16, replicas: 1, port: 0, changes: 'header', ...user }
  writeFileSync(file, JSON.stringify({ service, instances, tables, ...rest }))
  return file
}

function start(file: string): Promise<RunningRouter> {
  const { password } = servers.password
  return startRouter(file, {
    ...stackEnv(),
    ...(password === undefined ? {} : { FORESTALL_ROUTER_PASSWORD: password }),
  })
}

async function find(from: ClickHouseClient, customer: string, token?: string): Promise<number[]> {
  const result = await from.query({
    query: 'SELECT item FROM orders WHERE customer = {customer:String} ORDER BY item',
    query_params: { customer },
    format: 'JSONEachRow',
    ...(token === undefined ? {} : { http_headers: { 'X-Forestall-Token': token } }),
  })
  return (await result.json<{ item: string }>()).map(({ item }) => Number(item))
}

async function leads({ url }: RunningRouter): Promise<boolean> {
  const answer = await fetch(`${url}/forestall/health`)
  return ((await answer.json()) as { applies: boolean }).applies
}

test('two routers of a service: both answer, one applies the log, and the other goes on when it is killed', async () => {
  const service = uniqueName('svc')
  const file = settings(service)
  const routers = [await start(file), await start(file)]
  const [first, second] = routers.map(({ url }) => client(url))
  if (first === undefined || second === undefined) throw new Error('no routers')
  await first.command({
    query: 'CREATE TABLE orders (customer String, item UInt64) ENGINE = MergeTree ORDER BY (customer, item)',
    http_headers: { 'X-Forestall-Change': 'all' },
  })
  const written: number[] = []
  let item = 0
  /** Writes through one and reads through the other, with the token. */
  async function check(to: ClickHouseClient, from: ClickHouseClient): Promise<void> {
    const values = [{ customer: 'c1', item: item++ }]
    const search = { insert_deduplication_token: `${service}${item}` }
    const { response_headers } = await to.insert({
      table: 'orders',
      values,
      format: 'JSONEachRow',
      clickhouse_settings: search,
    })
    written.push(...values.map((row) => row.item))
    expect(await find(from, 'c1', String(response_headers['x-forestall-token']))).toEqual(written)
  }
  await check(first, second)
  await check(second, first)
  expect((await Promise.all(routers.map(leads))).filter(Boolean)).toHaveLength(1)

  const at = (await leads(routers[0] as RunningRouter)) ? 0 : 1
  const [dying, living] = [routers[at] as RunningRouter, routers[1 - at] as RunningRouter]
  await dying.end('SIGKILL')
  const survivor = client(living.url)
  // Reads go on at once; what is written is acknowledged once the other has taken over.
  expect(await find(survivor, 'c1')).toEqual(written)
  await check(survivor, survivor)
  expect(await leads(living)).toBe(true)
  const back = await start(file)
  await check(client(back.url), survivor)
  // A stop hands over at once, a process that was frozen does not go on where it was.
  expect(await living.end('SIGTERM')).toEqual([0, null])
  await until(() => leads(back), { what: 'the other router leads' })
  await check(client(back.url), client(back.url))
  const third = await start(file)
  back.child.kill('SIGSTOP')
  await until(() => leads(third), { what: 'the third router leads' })
  await check(client(third.url), client(third.url))
  back.child.kill('SIGCONT')
  await check(client(back.url), client(third.url))
  expect(await leads(third)).toBe(true)
  expect(await leads(back)).toBe(false)
  let count = 0
  for (const { url } of servers.list) {
    const result = await client(url).query({
      query: 'SELECT count() AS c FROM orders',
      format: 'JSONEachRow',
    })
    count += Number((await result.json<{ c: string }>())[0]?.c)
  }
  expect(count).toBe(written.length)
}, 180_000)
