import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { type ClickHouseClient, createClient } from '@clickhouse/client'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { startClickHouse } from '#infra/clickhouse'
import { runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { startRouter } from './query-router-process.ts'
import { clientOf, type Instances, startInstances } from './query-router-world.ts'

failOnLeaks()

const env = stackEnv()
let instances: Instances
let folder = ''

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'router-command-'))
  instances = await startInstances(3)
})
afterAll(async () => {
  await instances.stop()
  rmSync(folder, { recursive: true })
})

/** A file of settings. */
function settings(over: object): string {
  const file = join(folder, `${uniqueName('router')}.json`)
  const usual = {
    service: uniqueName('svc'),
    instances: instances.list.map(({ name, url }) => ({ name, url })),
    tables: [{ table: 'orders', keyColumn: 'customer' }],
    segments: 16,
    replicas: 2,
    port: 0,
    changes: 'header',
  }
  writeFileSync(file, JSON.stringify({ ...usual, ...over }))
  return file
}

const client = (url: string): ClickHouseClient => {
  const made = clientOf(url)
  onTestFinished(() => made.close())
  return made
}

const TABLE = (name: string) =>
  `CREATE TABLE ${name} (customer String, item UInt64, note String) ENGINE = MergeTree ORDER BY (customer, item)`

const everywhere = <T>(work: (url: string) => Promise<T>): Promise<T[]> =>
  Promise.all(instances.list.map(({ url }) => work(url)))

async function rows(url: string, sql: string): Promise<string> {
  const answer = await fetch(url, { method: 'POST', body: sql })
  return (await answer.text()).trim()
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

test('a wrong call or file is refused with what, where and what to do, and status 2', async () => {
  const good = settings({})
  const cases: [file: string, code: number, words: string[]][] = [
    [join(folder, 'none.json'), 2, ['CONFIG_INVALID', 'none.json', 'can be read', 'cure:']],
    [settings({ fanout: 'all' }), 2, ['CONFIG_INVALID', 'fanout', 'cure:']],
  ]
  for (const [file, code, words] of cases) {
    const result = await runCli(['query-router', file, '--for', '1s'], env)
    expect(result).toMatchObject({ code, stdout: '' })
    for (const word of words) expect(result.stderr).toContain(word)
  }
  expect(await runCli(['query-router', good, '--nonsense'], env)).toMatchObject({ code: 2 })
  const help = await runCli(['query-router', '--help'], env)
  expect(help.code).toBe(0)
  for (const word of ['<file>', '--replay-id', 'FORESTALL_ROUTER_PASSWORD', 'Examples'])
    expect(help.stdout).toContain(word)
  const short = await runCli(['query-router', good, '--for', '1ms', '--json'], env)
  expect({ ...short, stderr: '' }).toMatchObject({ code: 0 })
  expect(JSON.parse(short.stdout)).toMatchObject({ instances: 3, url: expect.stringContaining('http://') })
}, 120_000)

test('a port that is taken is said so', async () => {
  const first = await startRouter(settings({}), env)
  const port = Number(new URL(first.url).port)
  const second = await runCli(['query-router', settings({ port })], env)
  expect(second).toMatchObject({ code: 2, stdout: '' })
  for (const word of ['CONFIG_INVALID', String(port), 'cure:']) expect(second.stderr).toContain(word)
}, 120_000)

test('what was acknowledged is there once after kill -9 and after SIGTERM, which ends what is under way', async () => {
  const file = settings({})
  let router = await startRouter(file, env)
  let own = client(router.url)
  await own.command({ query: TABLE('orders'), http_headers: { 'X-Forestall-Change': 'all' } })

  const written = new Map<string, number[]>()
  const unknown = new Set<number>()
  let item = 0
  /** Writes one item a customer; an insert that has no answer may or may not be there. */
  async function write(): Promise<string> {
    const values = Array.from({ length: 5 }, (_, c) => ({ customer: `c${c}`, item: item++, note: '' }))
    try {
      const { response_headers } = await own.insert({ table: 'orders', values, format: 'JSONEachRow' })
      for (const row of values) written.set(row.customer, [...(written.get(row.customer) ?? []), row.item])
      return String(response_headers['x-forestall-token'])
    } catch (error) {
      for (const row of values) unknown.add(row.item)
      throw error
    }
  }
  async function check(): Promise<void> {
    for (const [customer, items] of written) {
      const found = await find(own, customer)
      expect(found.filter((i) => !unknown.has(i))).toEqual(items)
      expect(new Set(found).size).toBe(found.length)
    }
  }

  for (let i = 0; i < 5; i++) {
    const token = await write()
    expect(await find(own, 'c1', token)).toEqual(written.get('c1'))
  }
  for (let round = 0; round < 2; round++) {
    const writing = (async () => {
      for (;;) await write()
    })().catch(() => undefined)
    const goal = item + 15
    await until(() => item >= goal, { what: 'some writes' })
    await router.end('SIGKILL')
    await writing
    router = await startRouter(file, env)
    own = client(router.url)
    await write()
    await check()
  }

  // A stop lets queries and inserts under way end.
  const slow = own.query({ query: 'SELECT sleepEachRow(0.2) FROM numbers(5)', format: 'JSONEachRow' })
  const query = slow.then((result) => result.json())
  const insert = write()
  await until(
    async () =>
      (
        await everywhere((url) =>
          rows(
            url,
            "SELECT count() FROM system.processes WHERE query LIKE '%sleepEachRow(0.2)%' AND query NOT LIKE '%system.processes%'",
          ),
        )
      ).includes('1'),
    { what: 'the slow query' },
  )
  expect(await router.end('SIGTERM')).toEqual([0, null])
  expect(await query).toHaveLength(5)
  await insert
  const stages = (): Promise<string[]> =>
    everywhere((url) =>
      rows(url, "SELECT count() FROM system.tables WHERE name LIKE '\\\\_\\\\_forestall\\\\_stage%'"),
    )
  // Those of the routers that were killed are swept a day later: another router may be using them, for all anyone knows.
  const leftBehind = await stages()
  router = await startRouter(file, env)
  own = client(router.url)
  await write()
  await check()
  expect(await router.end('SIGTERM')).toEqual([0, null])
  expect(await stages()).toEqual(leftBehind)
}, 120_000)

test('an instance that is away does not keep the router from starting, and has its rows once it is back', async () => {
  const own = await startInstances(2)
  onTestFinished(() => own.stop())
  const [victim, other] = own.list
  if (victim === undefined || other === undefined) throw new Error('no instances')
  for (const { url } of own.list) await rows(url, TABLE('orders'))
  const file = settings({ instances: own.list.map(({ name, url }) => ({ name, url })) })
  const before = await startRouter(file, env)
  const first = client(before.url)
  await first.insert({
    table: 'orders',
    values: [{ customer: 'a', item: 1, note: '' }],
    format: 'JSONEachRow',
  })
  expect(await before.end('SIGTERM')).toEqual([0, null])
  await victim.process.stop()

  const router = await startRouter(file, env)
  const second = client(router.url)
  await second.insert({
    table: 'orders',
    values: [{ customer: 'a', item: 2, note: '' }],
    format: 'JSONEachRow',
  })
  expect(await find(second, 'a')).toEqual([1, 2])
  expect(router.stderr()).toContain(`Instance ${victim.name}`)
  const again = await startClickHouse({
    dataDir: victim.dataDir,
    port: Number(new URL(victim.url).port),
    logFile: `${victim.dataDir}.log`,
  })
  onTestFinished(() => again.stop())
  await until(
    async () => (await rows(victim.url, 'SELECT count(), uniqExact(item) FROM orders')) === '2\t2',
    {
      timeoutMs: 40_000,
      what: 'both rows at the instance that was away',
    },
  )
}, 120_000)

test('100 MB of rows pass within bounded memory of the process', async () => {
  const router = await startRouter(
    settings({ tables: [{ table: 'large', keyColumn: 'customer' }], replicas: 1 }),
    env,
  )
  const own = createClient({ url: router.url, request_timeout: 120_000 })
  onTestFinished(() => own.close())
  await own.command({ query: TABLE('large'), http_headers: { 'X-Forestall-Change': 'all' } })
  await own.insert({ table: 'large', values: [{ customer: 'c', item: 0, note: '' }], format: 'JSONEachRow' })
  const peak = (): number =>
    Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${router.child.pid}/status`, 'utf8'))?.[1]) / 1024
  const before = peak()
  const ROWS = 10_000
  const NOTE = 10_000
  // Text that does not compress to nothing, so that the log is about as large as the insert.
  const noise = randomBytes(60_000).toString('base64url')
  function* text(): Generator<string> {
    for (let i = 1; i <= ROWS; i++) {
      const at = (i * 7919) % (noise.length - NOTE)
      yield `c${i % 500},${i},${noise.slice(at, at + NOTE)}\n`
    }
  }
  await own.insert({
    table: 'large',
    values: Readable.from(text(), { objectMode: false }),
    format: 'CSV',
  })
  await until(
    async () => {
      const all = await everywhere((url) => rows(url, 'SELECT count(), sum(length(note)) FROM large'))
      const sums = all.map((line) => line.split('\t').map(Number))
      return (
        sums.reduce((sum, [count = 0]) => sum + count, 0) === ROWS + 1 &&
        sums.reduce((sum, [, bytes = 0]) => sum + bytes, 0) === ROWS * NOTE
      )
    },
    { timeoutMs: 60_000, what: 'every row once' },
  )
  expect(peak() - before).toBeLessThan(200)
}, 150_000)
