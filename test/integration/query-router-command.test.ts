import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { Readable } from 'node:stream'
import { type ClickHouseClient, createClient } from '@clickhouse/client'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { startClickHouse } from '#infra/clickhouse'
import { runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { clientOf, type Instances, startInstances } from './query-router-world.ts'

failOnLeaks()

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const env: Record<string, string> = {}
let instances: Instances
let folder = ''

beforeAll(async () => {
  env['KAFKA_BROKERS'] = inject('kafkaBrokers')
  env['SCHEMA_REGISTRY_URL'] = inject('registryUrl')
  env['CLICKHOUSE_URL'] = inject('clickhouseUrl')
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

interface Running {
  readonly child: ChildProcess
  readonly url: string
  /** What it wrote to standard error. */
  readonly errors: () => string
}

/** The command as a process; resolves once it says where it listens. */
async function start(file: string, ...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, ['jobs/forestall.ts', 'query-router', file, '--json', ...args], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error(`it ended: ${errors}`))),
  ])) as [string]
  return { child, url: (JSON.parse(line) as { url: string }).url, errors: () => errors }
}

async function end({ child }: Running, signal: NodeJS.Signals): Promise<unknown[]> {
  const exited = once(child, 'exit')
  child.kill(signal)
  return exited
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
  const first = await start(settings({}))
  const port = Number(new URL(first.url).port)
  const second = await runCli(['query-router', settings({ port })], env)
  expect(second).toMatchObject({ code: 2, stdout: '' })
  for (const word of ['CONFIG_INVALID', String(port), 'cure:']) expect(second.stderr).toContain(word)
}, 120_000)

test('what was acknowledged is there once after kill -9 and after SIGTERM, which ends what is under way', async () => {
  const file = settings({})
  let router = await start(file)
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
    await end(router, 'SIGKILL')
    await writing
    router = await start(file)
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
  expect(await end(router, 'SIGTERM')).toEqual([0, null])
  expect(await query).toHaveLength(5)
  await insert
  const stages = (): Promise<string[]> =>
    everywhere((url) =>
      rows(url, "SELECT count() FROM system.tables WHERE name LIKE '\\\\_\\\\_forestall\\\\_stage%'"),
    )
  // Those of the routers that were killed are swept a day later: another router may be using them, for all anyone knows.
  const leftBehind = await stages()
  router = await start(file)
  own = client(router.url)
  await write()
  await check()
  expect(await end(router, 'SIGTERM')).toEqual([0, null])
  expect(await stages()).toEqual(leftBehind)
}, 120_000)

test('an instance that is away does not keep the router from starting, and has its rows once it is back', async () => {
  const own = await startInstances(2)
  onTestFinished(() => own.stop())
  const [victim, other] = own.list
  if (victim === undefined || other === undefined) throw new Error('no instances')
  for (const { url } of own.list) await rows(url, TABLE('orders'))
  const file = settings({ instances: own.list.map(({ name, url }) => ({ name, url })) })
  const before = await start(file)
  const first = client(before.url)
  await first.insert({
    table: 'orders',
    values: [{ customer: 'a', item: 1, note: '' }],
    format: 'JSONEachRow',
  })
  expect(await end(before, 'SIGTERM')).toEqual([0, null])
  await victim.process.stop()

  const router = await start(file)
  const second = client(router.url)
  await second.insert({
    table: 'orders',
    values: [{ customer: 'a', item: 2, note: '' }],
    format: 'JSONEachRow',
  })
  expect(await find(second, 'a')).toEqual([1, 2])
  expect(router.errors()).toContain(`Instance ${victim.name}`)
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
  const router = await start(settings({ tables: [{ table: 'large', keyColumn: 'customer' }], replicas: 1 }))
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

test('two routers of a service: both answer, one applies the log, and the other goes on when it is killed', async () => {
  const service = uniqueName('svc')
  const file = settings({ service, replicas: 1 })
  await everywhere((url) => rows(url, 'DROP TABLE IF EXISTS orders SYNC'))
  const routers = [await start(file), await start(file)]
  const [first, second] = routers.map(({ url }) => client(url))
  if (first === undefined || second === undefined) throw new Error('no routers')
  await first.command({ query: TABLE('orders'), http_headers: { 'X-Forestall-Change': 'all' } })
  const leads = async ({ url }: Running): Promise<boolean> =>
    (JSON.parse(await rows(`${url}/forestall/health`, '')) as { applies: boolean }).applies
  const written: number[] = []
  let item = 0
  /** Writes through one and reads through the other, with the token. */
  async function check(to: ClickHouseClient, from: ClickHouseClient): Promise<void> {
    const values = [{ customer: 'c1', item: item++, note: '' }]
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

  const at = (await leads(routers[0] as Running)) ? 0 : 1
  const [dying, living] = [routers[at] as Running, routers[1 - at] as Running]
  await end(dying, 'SIGKILL')
  const survivor = client(living.url)
  // Reads go on at once; what is written is acknowledged once the other has taken over.
  expect(await find(survivor, 'c1')).toEqual(written)
  await check(survivor, survivor)
  expect(await leads(living)).toBe(true)
  const back = await start(file)
  await check(client(back.url), survivor)
  // A stop hands over at once, a process that was frozen does not go on where it was.
  expect(await end(living, 'SIGTERM')).toEqual([0, null])
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
  const all = await everywhere((url) => rows(url, 'SELECT count(), uniqExact(item) FROM orders'))
  const sums = all.map((line) => line.split('\t').map(Number))
  expect(sums.reduce((sum, [count = 0]) => sum + count, 0)).toBe(written.length)
}, 180_000)
