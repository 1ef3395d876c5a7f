import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { gzipSync } from 'node:zlib'
import { type ClickHouseClient, createClient } from '@clickhouse/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ClickHouseProcess, startClickHouse } from '#infra/clickhouse'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'

failOnLeaks()
const dir = mkdtempSync(join(tmpdir(), 'forestall-clickhouse-'))
const options = { dataDir: join(dir, 'data'), logFile: join(dir, 'clickhouse.log') }
const SLOW = 'SELECT count() FROM numbers(100000000000) WHERE sipHash64(number) = 1'
let host: ClickHouseProcess
let client: ClickHouseClient

beforeAll(async () => {
  host = await startClickHouse(options)
  client = createClient({ url: host.url, compression: { response: true }, log: { level: 127 } })
})
afterAll(async () => {
  await client.close()
  await host.stop()
  rmSync(dir, { recursive: true, force: true })
})

const rows = async <T>(query: string, more: object = {}): Promise<T[]> =>
  (await client.query({ query, format: 'JSONEachRow', ...more })).json<T>()
const get = (query: string, more = '') => fetch(`${host.url}/?query=${encodeURIComponent(query)}${more}`)
const post = (body: string | Uint8Array, url = '', headers: Record<string, string> = {}) =>
  fetch(`${host.url}/${url}`, { method: 'POST', body: body as string, headers })

describe('the unmodified client', () => {
  test('pings, defines, inserts and reads, with parameters bound', async () => {
    expect(await client.ping()).toEqual({ success: true })
    expect(await client.ping({ select: true })).toEqual({ success: true })
    await client.command({ query: 'CREATE TABLE basic (a UInt64, s String) ENGINE = MergeTree ORDER BY a' })
    const inserted = await client.insert({
      table: 'basic',
      values: [
        { a: 1, s: "it's" },
        { a: 2, s: 'ü;\n' },
      ],
      format: 'JSONEachRow',
    })
    expect(inserted.summary?.written_rows).toBe('2')
    const found = await rows('SELECT * FROM basic WHERE s = {s:String}', { query_params: { s: "it's" } })
    expect(found).toEqual([{ a: 1, s: "it's" }])
    const list = await rows<{ x: number }>('SELECT arrayJoin({a:Array(UInt8)}) AS x', {
      query_params: { a: [3, 4] },
    })
    expect(list.map((r) => r.x)).toEqual([3, 4])
  })

  test('gets ClickHouse errors with code and type', async () => {
    await expect(rows('SELECT * FROM missing')).rejects.toMatchObject({ code: '60', type: 'UNKNOWN_TABLE' })
    await expect(rows('SELECT {x:UInt8}')).rejects.toMatchObject({ code: '456' })
    await expect(rows('SELECT 1; SELECT 2')).rejects.toMatchObject({ code: '62' })
    await expect(rows('SELECT throwIf(number = 500000) FROM numbers(600000)')).rejects.toMatchObject({
      code: '395',
    })
  })

  test('reads large answers as a stream, in formats with head and foot too', async () => {
    const result = await client.query({ query: 'SELECT number FROM numbers(500000)', format: 'JSONEachRow' })
    let count = 0
    for await (const chunk of result.stream()) count += chunk.length
    expect(count).toBe(500_000)
    const whole = await client.query({ query: 'SELECT number FROM numbers(200000)', format: 'JSON' })
    expect((await whole.json<{ number: number }>()).rows).toBe(200_000)
  })

  test('inserts RowBinary as a stream', async () => {
    await client.command({ query: 'CREATE TABLE raw (a UInt64, s String) ENGINE = MergeTree ORDER BY a' })
    const values = Readable.from([Buffer.from([7, 0, 0, 0, 0, 0, 0, 0, 1]), Buffer.from('x')], {
      objectMode: false,
    })
    const { stream } = await client.exec({ query: 'INSERT INTO raw FORMAT RowBinary', values })
    for await (const _ of stream); // the end of the answer
    expect(await rows('SELECT * FROM raw')).toEqual([{ a: 7, s: 'x' }])
  })
})

describe('one request does not reach into another', () => {
  test('settings, database and parameters end with their request', async () => {
    await client.command({ query: 'CREATE DATABASE IF NOT EXISTS other' })
    const threads = "SELECT getSetting('max_block_size') AS n, currentDatabase() AS d"
    const usual = await rows(threads)
    const url = `&max_block_size=7&database=other&default_format=JSONEachRow`
    expect(JSON.parse(await (await get(threads, url)).text())).toEqual({ n: 7, d: 'other' })
    for (let i = 0; i < 8; i++) expect(await rows(threads)).toEqual(usual)
  })

  test('a request that fails leaves nothing behind', async () => {
    for (let i = 0; i < 4; i++) {
      expect((await get('SELECT 1', '&database=nowhere')).status).toBe(404)
      expect((await get('SELECT 1', '&no_such_setting=1')).status).toBe(404)
    }
    expect(await rows('SELECT currentDatabase() AS d')).toEqual([{ d: 'default' }])
  })

  test('parameters of parallel requests keep apart', async () => {
    const ask = async (n: number) => {
      const found = await rows<{ x: number }>('SELECT {n:UInt32} AS x, sleep(0.01)', { query_params: { n } })
      return found[0]?.x
    }
    const all = await Promise.all(Array.from({ length: 40 }, (_, n) => ask(n)))
    expect(all).toEqual(Array.from({ length: 40 }, (_, n) => n))
  })

  test('SET and temporary tables end with their request', async () => {
    await client.command({ query: 'SET max_block_size = 9' })
    await client.command({ query: 'CREATE TEMPORARY TABLE passing (a UInt8)' })
    await expect(rows('SELECT * FROM passing')).rejects.toMatchObject({ code: '60' })
  })
})

describe('the protocol by hand', () => {
  test('GET reads as TabSeparated and must not write', async () => {
    const answer = await get("SELECT 1, 'a'")
    expect(await answer.text()).toBe('1\ta\n')
    expect(answer.headers.get('x-clickhouse-format')).toBe('TabSeparated')
    expect((await get('SELECT 1', '&query_id=mine')).headers.get('x-clickhouse-query-id')).toBe('mine')
    // What no header can hold ended the host.
    expect((await get('SELECT 1', '&query_id=a%01%E2%82%AC')).headers.get('x-clickhouse-query-id')).toBe(
      'a??',
    )
    const write = await get('CREATE TABLE got (a UInt8) ENGINE = Memory')
    expect(write.headers.get('x-clickhouse-exception-code')).toBe('164')
    expect(await write.text()).toMatch(/^Code: 164\. DB::Exception: .*\(READONLY\) \(version /)
  })

  test('statement and rows may share the body, or be split over URL and body, plain or gzip', async () => {
    await client.command({ query: 'CREATE TABLE split (a UInt64, s String) ENGINE = MergeTree ORDER BY a' })
    expect((await post('INSERT INTO split FORMAT CSV\n1,"a;"\n2,b\n')).status).toBe(200)
    expect((await post("INSERT INTO split VALUES (3, 'c')")).status).toBe(200)
    const url = `?query=${encodeURIComponent('INSERT INTO split FORMAT CSV')}`
    expect((await post('4,d\n', url)).status).toBe(200)
    const packed = { 'Content-Encoding': 'gzip' }
    expect((await post(gzipSync('5,e\n'), url, packed)).status).toBe(200)
    expect((await post(gzipSync('INSERT INTO split FORMAT CSV\n6,f\n'), '', packed)).status).toBe(200)
    const binary = Buffer.concat([
      Buffer.from('INSERT INTO split FORMAT RowBinary\n'),
      Buffer.from([200, 0, 0, 0, 0, 0, 0, 0, 1, 255]),
    ])
    expect((await post(binary)).status).toBe(200)
    const found = await rows<{ a: number }>('SELECT a FROM split ORDER BY a')
    expect(found.map((r) => r.a)).toEqual([1, 2, 3, 4, 5, 6, 200])
  })

  test('rows that do not fit are refused as a whole, without naming files of the host', async () => {
    await client.command({ query: 'CREATE TABLE strict (a UInt8) ENGINE = MergeTree ORDER BY a' })
    const answer = await post('INSERT INTO strict FORMAT CSV\n1\nno\n')
    expect(answer.status).toBe(400)
    expect(await answer.text()).not.toContain(dir)
    expect(await rows('SELECT * FROM strict')).toEqual([])
  })

  test('who is not the default user, or comes from a web page, is refused', async () => {
    const named = createClient({ url: host.url, username: 'someone', password: 'x', log: { level: 127 } })
    await expect(named.query({ query: 'SELECT 1' })).rejects.toMatchObject({ code: '516' })
    await named.close()
    const page = await post('SELECT 1', '', { 'Sec-Fetch-Site': 'cross-site' })
    expect(page.status).toBe(403)
  })

  test('what it does not do, it says', async () => {
    expect((await post('SELECT 1', '?session_id=a')).status).toBe(501)
    expect((await fetch(`${host.url}/nowhere`)).status).toBe(404)
    expect(await (await fetch(`${host.url}/ping`)).text()).toBe('Ok.\n')
  })
})

describe('load and ends', () => {
  test('an abandoned query is killed', async () => {
    const gone = new AbortController()
    const asked = rows(SLOW, { abort_signal: gone.signal })
    const running = () =>
      rows(
        "SELECT 1 FROM system.processes WHERE query LIKE '%sipHash64(number) = 1 %' AND query NOT LIKE '%processes%'",
      )
    await until(async () => (await running()).length === 1)
    gone.abort()
    await expect(asked).rejects.toThrow('aborted')
    await until(async () => (await running()).length === 0)
  })

  test('inserts go on while scans take every place of their lane', async () => {
    await client.command({ query: 'CREATE TABLE lane (a UInt8) ENGINE = MergeTree ORDER BY a' })
    const gone = new AbortController()
    const many = createClient({ url: host.url, max_open_connections: 20, log: { level: 127 } })
    const scans = Array.from({ length: 12 }, () =>
      many.query({ query: SLOW, abort_signal: gone.signal }).catch(() => null),
    )
    // The lane is full once a small query has to wait.
    const waits = () =>
      rows('SELECT 1', { abort_signal: AbortSignal.timeout(300) }).then(
        () => false,
        () => true,
      )
    await until(waits)
    const inserted = await post('INSERT INTO lane FORMAT CSV\n1\n')
    expect(await waits()).toBe(true)
    expect(inserted.status).toBe(200)
    gone.abort()
    await Promise.all(scans)
    await many.close()
    await until(async () => (await rows('SELECT 1 FROM lane')).length === 1)
  })

  test('a query is bounded in time', async () => {
    await expect(rows(SLOW, { clickhouse_settings: { max_execution_time: 1 } })).rejects.toMatchObject({
      code: '159',
    })
  })

  test('no file of a request stays', async () => {
    expect(await until(() => readdirSync(join(options.dataDir, 'spool')).length === 0)).toBe(true)
  })

  test('a statement that is too long is refused; rows belong into the body of their own', async () => {
    const answer = await post(`SELECT '${'x'.repeat(17 << 20)}'`)
    expect(answer.status).toBe(413)
    expect(await rows('SELECT 1 AS x')).toEqual([{ x: 1 }])
  })

  test('it ends when the process that started it is killed', async () => {
    const own = { dataDir: join(dir, 'orphan'), logFile: join(dir, 'orphan.log') }
    const code = `import { startClickHouse } from '#infra/clickhouse'
      const host = await startClickHouse(${JSON.stringify(own)})
      console.log(host.pid)`
    const parent = spawn(process.execPath, ['--input-type=module', '-e', code], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [chunk] = (await once(parent.stdout, 'data')) as [Buffer]
    const pid = Number(String(chunk))
    expect(process.kill(pid, 0)).toBe(true)
    parent.kill('SIGKILL')
    const gone = () => {
      try {
        return !process.kill(pid, 0)
      } catch {
        return true
      }
    }
    await until(gone, { what: 'the end of the host' })
    expect(readFileSync(own.logFile, 'utf8')).toContain('the parent is gone')
  })

  test('a second process on the same folder is refused by name', async () => {
    await expect(startClickHouse(options)).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
  })

  test('a stop finishes inserts under way; data and a free folder are left', async () => {
    const other = { dataDir: join(dir, 'stopped'), logFile: join(dir, 'stopped.log') }
    const first = await startClickHouse(other)
    const to = (url: string) => createClient({ url, log: { level: 127 } })
    let own = to(first.url)
    await own.command({ query: 'CREATE TABLE t (a UInt64) ENGINE = MergeTree ORDER BY a' })
    // The insert is at work once the engine lists it.
    const insert = own.command({ query: 'INSERT INTO t SELECT number FROM numbers(5000000)' })
    await until(async () =>
      (
        await own.query({
          query: "SELECT 1 FROM system.processes WHERE query LIKE 'INSERT%'",
          format: 'JSONEachRow',
        })
      )
        .json()
        .then((r) => r.length === 1),
    )
    await Promise.all([first.stop(), insert])
    await own.close()
    const second = await startClickHouse(other)
    own = to(second.url)
    const found = await (
      await own.query({ query: 'SELECT count() AS n FROM t', format: 'JSONEachRow' })
    ).json()
    expect(found).toEqual([{ n: 5_000_000 }])
    await own.close()
    await second.stop()
    await second.stop()
    expect(readFileSync(other.logFile, 'utf8')).toContain('"event":"stopped"')
  })
})
