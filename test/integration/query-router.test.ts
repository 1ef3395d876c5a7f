import { type IncomingMessage, request } from 'node:http'
import { Readable } from 'node:stream'
import { createClient } from '@clickhouse/client'
import { afterAll, beforeAll, beforeEach, expect, onTestFinished, test } from 'vitest'
import { startClickHouse } from '#infra/clickhouse'
import { segmentOf } from '../../pipelines/data-sharding/placement/index.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { ask, type Instances, openRouter, startInstances } from './query-router-world.ts'

failOnLeaks()

type Opened = Awaited<ReturnType<typeof openRouter>>

let instances: Instances
let router: Opened
const tables = Array.from({ length: 24 }, () => uniqueName('t'))
const rules = tables.map((table) => ({
  database: 'default',
  table,
  keyColumn: 'k',
  keyType: 'string' as const,
}))
let table = ''

beforeAll(async () => {
  instances = await startInstances(2)
  for (const { url } of instances.list) {
    for (const t of tables) {
      await ask(
        url,
        `CREATE TABLE ${t} (k String, v UInt64, at DateTime64(6) DEFAULT now64(6)) ENGINE = MergeTree ORDER BY k`,
      )
    }
  }
  router = await openRouter(instances.list, { replicas: 2, tables: rules, changes: 'header' })
})
afterAll(async () => {
  await router.close()
  await instances.stop()
})
beforeEach(() => {
  table = tables.shift() ?? ''
})

const routed = (body: string, options: Parameters<typeof ask>[2] = {}) =>
  ask(router.router.url, body, options)
const everywhere = (sql: string) =>
  Promise.all(instances.list.map(async ({ url }) => (await ask(url, sql)).text.trim()))
/** Waits until every replica has applied what a token names. */
const applied = (sql: string, value: string) =>
  until(async () => (await everywhere(sql)).every((text) => text === value))

test('an unknown table is answered as ClickHouse does', async () => {
  const direct = await ask(instances.list[0]?.url ?? '', 'SELECT * FROM no_such_table')
  const reply = await routed('SELECT * FROM no_such_table')
  expect({ ...reply }).toEqual({ ...direct })
  expect(reply).toMatchObject({ status: 404, code: '60' })
  expect(await routed("INSERT INTO no_such_table VALUES ('a', 1)")).toMatchObject({ status: 404, code: '60' })
})

test('several statements are refused, and none of them runs', async () => {
  const reply = await routed(`SELECT 1; DROP TABLE ${table}`)
  expect(reply).toMatchObject({ status: 400, code: '62' })
  expect(await everywhere(`EXISTS ${table}`)).toEqual(['1', '1'])
})

test('a query without shard key is refused with a sentence, and asks every instance where that is allowed', async () => {
  const rows = Array.from({ length: 50 }, (_, i) => `('k${i}', ${i})`).join(', ')
  expect((await routed(`INSERT INTO ${table} (k, v) VALUES ${rows}`)).status).toBe(200)
  await applied(`SELECT count() FROM ${table}`, '50')
  const refused = await routed(`SELECT * FROM ${table}`)
  expect(refused).toMatchObject({ status: 400, code: '36' })
  expect(refused.text).toContain(`does not name the shard key k of table ${table}`)
  expect((await routed(`SELECT v FROM ${table} WHERE k = 'k7'`)).text).toBe('7\n')
  expect(
    (await routed(`SELECT v FROM ${table} WHERE v = 7`, { headers: { 'X-Forestall-Key': 'k7' } })).text,
  ).toBe('7\n')
  const comment = { search: { log_comment: '{"shard_key": "k7"}' } }
  expect((await routed(`SELECT v FROM ${table} WHERE v = 7`, comment)).text).toBe('7\n')
  // Whatever else lies beside it, and whatever the key.
  for (const [key, rows] of [
    ['k7', '1'],
    ["k'7\\", '0'],
  ] as const) {
    const named = await routed(`SELECT count() FROM ${table} AS o`, { headers: { 'X-Forestall-Key': key } })
    expect(named.text).toBe(`${rows}\n`)
  }
  const narrowed = { additional_table_filters: "{'x': '1'}", forestall_key: 'k7' }
  expect(await routed(`SELECT v FROM ${table}`, { search: narrowed })).toMatchObject({
    status: 400,
    code: '36',
  })
  const literals = await routed(
    `SELECT n IN ('5'), -n::Int64 IN ('-5'), d IN ('2026-01-02'), u IN ('00000000-0000-0000-0000-000000000005')
     FROM (SELECT materialize(5::UInt64) AS n, materialize(toDate('2026-01-02')) AS d,
           materialize(toUUID('00000000-0000-0000-0000-000000000005')) AS u)`,
  )
  expect(literals.text).toBe('1\t1\t1\t1\n')

  const wide = await openRouter(instances.list, { replicas: 2, tables: rules, fanOut: 'all' })
  onTestFinished(() => wide.close())
  // A row lies on both instances and is counted once.
  const all = await ask(wide.router.url, `SELECT k FROM ${table} WHERE v >= 10 FORMAT TSV`)
  expect(all.text.trim().split('\n').sort()).toEqual(
    Array.from({ length: 40 }, (_, i) => `k${i + 10}`).sort(),
  )
  // An instance tells what is more than the sum of its parts: by functions, clauses or settings.
  for (const [sql, search, step] of [
    ['SELECT count()', '', 'Aggregat'],
    ['SELECT std(v)', '', 'Aggregat'],
    ['SELECT TOP 3 k', '', 'Limit'],
    ['SELECT k', 'limit=3', 'Limit'],
    ['SELECT k', 'offset=3', 'Offset'],
    ['SELECT DISTINCT v % 2', '', 'Distinct'],
    ['SELECT v, row_number() OVER ()', '', 'Window'],
    ['SELECT k, v ORDER BY v', '', 'Sorting'],
  ] as const) {
    const text = sql.includes(' ORDER')
      ? sql.replace(' ORDER', ` FROM ${table} ORDER`)
      : `${sql} FROM ${table}`
    const reply = await ask(wide.router.url, text, {
      search: Object.fromEntries(new URLSearchParams(search)),
    })
    expect(reply).toMatchObject({ status: 400, code: '36' })
    expect(reply.text).toContain(`with the step ${step}`)
  }
  const packed = await ask(wide.router.url, `SELECT k FROM ${table}`, { search: { default_format: 'JSON' } })
  expect(packed.text).toContain('put together in the format JSON')
  const broken = await ask(wide.router.url, `SELECT no_such_column FROM ${table}`)
  expect(broken).toMatchObject({ status: 404, code: '47' })

  const some = await openRouter(instances.list, { replicas: 2, tables: rules, fanOut: 'first' })
  onTestFinished(() => some.close())
  // Any one instance, whatever it holds; here it holds all.
  expect((await ask(some.router.url, `SELECT count() FROM ${table}`)).text).toBe('50\n')
})

test('what no log of rows can hold is refused; an operator sends changes to all, in log order', async () => {
  const cases = [
    [`INSERT INTO ${table} SELECT 'a', 1`, 'INSERT ... SELECT'],
    [`INSERT INTO ${table} (k, v) VALUES ('a', 1), ('b', now())`, 'now(...)'],
    [`INSERT INTO ${table} (k, v) VALUES ('a', (SELECT 1))`, 'subquery'],
    [`ALTER TABLE ${table} ADD COLUMN w UInt8 DEFAULT 3`, 'ALTER is not sent'],
    [`DROP TABLE ${table}`, 'DROP is not sent'],
  ] as const
  for (const [sql, words] of cases) {
    const reply = await routed(sql)
    expect(reply).toMatchObject({ status: 501, code: '48' })
    expect(reply.text).toContain(words)
  }
  expect(await everywhere(`SELECT count() FROM ${table}`)).toEqual(['0', '0'])
  await routed(`INSERT INTO ${table} (k, v) VALUES ('a', 1)`)
  const change = `ALTER TABLE ${table} ADD COLUMN w UInt8 DEFAULT 3`
  expect(await routed(change, { headers: { 'X-Forestall-Change': 'all' } })).toMatchObject({ status: 200 })
  expect(await everywhere(`SELECT k, w FROM ${table}`)).toEqual(['a\t3', 'a\t3'])
  await routed(`INSERT INTO ${table} (k, w) VALUES ('b', 4)`)
  await applied(`SELECT w FROM ${table} WHERE k = 'b'`, '4')
  const again = await routed(change, { headers: { 'X-Forestall-Change': 'all' } })
  expect(again.status).toBe(500)
  expect(again.text).toContain('failed on 2 of 2 instances')
})

test('defaults are evaluated once: replicas hold the same rows', async () => {
  for (let i = 0; i < 5; i++) await routed(`INSERT INTO ${table} (k, v) VALUES ('k${i}', ${i})`)
  await applied(`SELECT count() FROM ${table}`, '5')
  const [one, two] = await everywhere(`SELECT k, v, at FROM ${table} ORDER BY k`)
  expect(one).toBe(two)
  expect(one).toContain('k4')
})

test('an insert that is sent again with its token adds nothing', async () => {
  const search = { insert_deduplication_token: uniqueName('token') }
  for (let i = 0; i < 3; i++) {
    expect(
      (await routed(`INSERT INTO ${table} (k, v) VALUES ('a', 1), ('b', 2), ('c', 3)`, { search })).status,
    ).toBe(200)
  }
  await routed(`INSERT INTO ${table} (k, v) VALUES ('end', 0)`)
  await applied(`SELECT countIf(k = 'end') FROM ${table}`, '1')
  await applied(`SELECT count() FROM ${table}`, '4')
})

test('a read with the token of a write sees it, waits for it, or says that it could not', async () => {
  const impatient = await openRouter(instances.list, { replicas: 2, tables: rules, freshWithinMs: 1500 })
  onTestFinished(() => impatient.close())
  const { url } = impatient.router
  const partition = segmentOf('a', 256) % 4
  const [first, second] = impatient.appliers
  const held = Promise.withResolvers<void>()
  const secondHeld = Promise.withResolvers<void>()
  const holdFirst = first?.between(partition, () => held.promise)
  const holdSecond = second?.between(partition, () => secondHeld.promise)
  const write = await ask(url, `INSERT INTO ${table} (k, v) VALUES ('a', 1)`, {
    headers: { 'X-Forestall-Acknowledge': 'log' },
  })
  expect(write.token).not.toBe('')
  const read = () =>
    ask(url, `SELECT v FROM ${table} WHERE k = 'a'`, { headers: { 'X-Forestall-Token': write.token } })
  const late = await read()
  expect(late).toMatchObject({ status: 408, code: '159' })
  expect(late.text).toContain('No replica has applied what the session wrote')
  const waiting = read()
  secondHeld.resolve()
  expect((await waiting).text).toBe('1\n')
  // The first replica still has nothing: every read goes to the second.
  for (let i = 0; i < 10; i++) expect((await read()).text).toBe('1\n')
  expect((await ask(instances.list[0]?.url ?? '', `SELECT count() FROM ${table}`)).text).toBe('0\n')
  held.resolve()
  await Promise.all([holdFirst, holdSecond])
  expect(
    await ask(url, `SELECT v FROM ${table} WHERE k = 'a'`, { search: { forestall_token: 'nonsense' } }),
  ).toMatchObject({
    status: 400,
    code: '36',
  })
})

test('an insert of 100 MB arrives whole, with bounded memory', async () => {
  const line = (i: number) => `"k${i}",${i}`
  const pad = ' '.repeat(1000)
  const ROWS = 100_000
  function* text(): Generator<string> {
    // Blanks after a number are skipped by the parser: bulk without disk.
    for (let i = 0; i < ROWS; i += 100) {
      yield Array.from({ length: 100 }, (_, j) => `${line(i + j)}${pad}\n`).join('')
    }
  }
  let highest = 0
  const before = process.memoryUsage()
  const watch = setInterval(() => {
    const now = process.memoryUsage()
    highest = Math.max(highest, now.heapUsed + now.arrayBuffers - before.heapUsed - before.arrayBuffers)
  }, 20)
  const client = createClient({ url: router.router.url, request_timeout: 120_000 })
  await client.insert({
    table,
    values: Readable.from(text(), { objectMode: false }),
    format: 'CSV',
    columns: ['k', 'v'],
  })
  clearInterval(watch)
  await client.close()
  await until(
    async () =>
      (await everywhere(`SELECT count(), sum(v), uniqExact(k) FROM ${table}`)).every(
        (t) => t === `${ROWS}\t4999950000\t${ROWS}`,
      ),
    { timeoutMs: 60_000 },
  )
  expect(highest).toBeLessThan(150 << 20)
})

test('a client that goes away takes its query with it', async () => {
  const sql = 'SELECT sum(sipHash64(number)) FROM numbers(1000000000000) SETTINGS max_execution_time = 50'
  const running = () =>
    everywhere(
      `SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%system.processes%'`,
    )
  const gone = request(router.router.url, { method: 'POST' })
  gone.on('error', () => undefined)
  gone.end(sql)
  await until(async () => (await running()).includes('1'), { what: 'the query under way' })
  gone.destroy()
  await until(async () => (await running()).every((n) => n === '0'), { what: 'the query ended' })
  expect(await running()).toEqual(['0', '0'])
})

test('a client that goes away in mid-insert has written nothing', async () => {
  const sent = request(
    `${router.router.url}/?query=${encodeURIComponent(`INSERT INTO ${table} (k, v) FORMAT CSV`)}`,
    { method: 'POST' },
  )
  sent.on('error', () => undefined)
  sent.write(Array.from({ length: 5000 }, (_, i) => `"k${i}",${i}\n`).join(''))
  await new Promise<void>((resolve) => sent.write('"half', () => resolve()))
  sent.destroy()
  expect((await routed(`INSERT INTO ${table} (k, v) VALUES ('end', 0)`)).status).toBe(200)
  await applied(`SELECT count() FROM ${table}`, '1')
})

test('an instance that dies: reads go on elsewhere, an answer under way breaks, writes are applied once when it is back', async () => {
  const dying = await startInstances(2)
  onTestFinished(() => dying.stop())
  for (const { url } of dying.list)
    await ask(url, `CREATE TABLE ${table} (k String, v UInt64) ENGINE = MergeTree ORDER BY k`)
  const own = await openRouter(dying.list, { replicas: 2, tables: rules })
  onTestFinished(() => own.close())
  const { url } = own.router
  const insert = (i: number) => ask(url, `INSERT INTO ${table} (k, v) VALUES ('k${i}', ${i})`)
  for (let i = 0; i < 10; i++) expect((await insert(i)).status).toBe(200)

  // Large answers from both instances, held up by clients that do not read.
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => {
      const answer = Promise.withResolvers<IncomingMessage>()
      request(url, { method: 'POST' }, answer.resolve).end("SELECT repeat('x', 1000) FROM numbers(20000)")
      return answer.promise
    }),
  )
  const victim = dying.list[0]
  process.kill(victim?.process.pid ?? 0, 'SIGKILL')
  const ends = await Promise.all(
    answers.map(
      (answer) =>
        new Promise<string>((resolve) => {
          let bytes = 0
          answer.on('data', (piece: Buffer) => {
            bytes += piece.length
          })
          answer.on('end', () => resolve(`${bytes} bytes`))
          answer.on('error', () => resolve('broken'))
        }),
    ),
  )
  // Nobody takes a part for the whole.
  expect(new Set(ends)).toEqual(new Set(['broken', '20020000 bytes']))

  for (let i = 0; i < 20; i++)
    expect((await ask(url, `SELECT v FROM ${table} WHERE k = 'k${i % 10}'`)).text).toBe(`${i % 10}\n`)
  for (let i = 10; i < 30; i++) expect((await insert(i)).status).toBe(200)
  const again = await startClickHouse({
    dataDir: victim?.dataDir ?? '',
    port: Number(new URL(victim?.url ?? '').port),
    logFile: `${victim?.dataDir}.log`,
  })
  onTestFinished(() => again.stop())
  await until(
    async () =>
      (await ask(victim?.url ?? '', `SELECT count(), uniqExact(k) FROM ${table}`)).text === '30\t30\n',
    { timeoutMs: 40_000, what: 'the instance that was away has every row once' },
  )
})

test('a router that is stopped and started in between applies each row once', async () => {
  const service = uniqueName('svc')
  let own = await openRouter(instances.list, { replicas: 2, tables: rules }, service)
  onTestFinished(() => own.close())
  for (let i = 0; i < 40; i++) {
    const options = { headers: { 'X-Forestall-Acknowledge': 'log' } }
    const reply = await ask(
      own.router.url,
      `INSERT INTO ${table} (k, v) VALUES ('k${i}', ${i}), ('l${i}', ${i})`,
      options,
    )
    expect(reply.status).toBe(200)
    if (i % 13 === 12) {
      await own.close()
      own = await openRouter(instances.list, { replicas: 2, tables: rules }, service)
    }
  }
  await applied(`SELECT count(), uniqExact(k) FROM ${table}`, '80\t80')
})

test('a second router knows what the first one applies: a token of one is honoured by the other', async () => {
  const service = uniqueName('svc')
  const first = await openRouter(instances.list, { replicas: 2, tables: rules }, service)
  onTestFinished(() => first.close())
  // Each instance keeps a table in which the first one parses: the second one's start must not sweep it away.
  const insertSome = async (): Promise<void> => {
    for (let i = 0; i < 8; i++) {
      const write = await ask(
        first.router.url,
        `INSERT INTO ${table} (k, v) VALUES ('${uniqueName('k')}', 1)`,
      )
      expect(write).toMatchObject({ status: 200 })
    }
  }
  await insertSome()
  const second = await openRouter(instances.list, { replicas: 2, tables: rules, apply: false }, service)
  onTestFinished(() => second.close())
  expect(second.appliers).toEqual([])
  await insertSome()
  for (const [from, to] of [
    [first, second],
    [second, first],
  ] as const) {
    const key = uniqueName('k')
    const write = await ask(from.router.url, `INSERT INTO ${table} (k, v) VALUES ('${key}', 1)`)
    expect(write.status).toBe(200)
    const headers = { 'X-Forestall-Token': write.token }
    const read = await ask(to.router.url, `SELECT v FROM ${table} WHERE k = '${key}'`, { headers })
    expect(read.text).toBe('1\n')
  }
})

test('secrets pass through and appear nowhere', async () => {
  const headers = { Authorization: `Basic ${Buffer.from('default:s3cret').toString('base64')}` }
  const reply = await routed('SELECT 1', { headers })
  expect(reply).toMatchObject({ status: 403, code: '516' })
  expect(`${reply.text}${router.warnings.map(String).join()}`).not.toContain('s3cret')
})
