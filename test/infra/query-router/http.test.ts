import { request } from 'node:http'
import { gzipSync, zstdCompressSync } from 'node:zlib'
import { expect, test, vi } from 'vitest'
import { failOnLeaks } from '../../support/leaks.ts'
import { type Front, type Got, rawly, startFront } from './front.ts'

failOnLeaks()

const ok = (response: { end(text: string): unknown }) => void response.end('1\n')
const ask = async (url: string, search: string, init: RequestInit = {}): Promise<[number, string]> => {
  const answer = await fetch(`${url}/${search}`, { method: 'POST', ...init })
  return [answer.status, await answer.text()]
}
const sqlOf = ({ got }: Front) => got.map(({ sql }) => sql)
const INSERT = encodeURIComponent("INSERT INTO shop.orders VALUES ('a', 1)")

test('an id of a query that no header can hold harms nobody', async () => {
  const { url } = await startFront([
    (response) =>
      response.socket?.end(
        'HTTP/1.1 200 OK\r\nX-ClickHouse-Query-Id: \x01\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n1\n',
      ),
  ])
  const send = (sql: string) => fetch(`${url}/?query_id=%E2%82%AC%01`, { method: 'POST', body: sql })
  expect((await send('DROP TABLE orders')).status).toBe(501)
  const answer = await send('SELECT 2')
  expect([answer.status, answer.headers.get('x-a'), await answer.text()]).toEqual([200, '1', '1\n'])
})

test('GET changes nothing', async () => {
  const front = await startFront([ok], {
    rules: { changes: 'all' },
    more: { options: { allowsChanges: true } },
  })
  for (const sql of [INSERT, 'DROP+TABLE+shop.orders&forestall_change=all', 'KILL+QUERY+WHERE+1']) {
    const [status, text] = await ask(front.url, `?query=${sql}`, { method: 'GET' })
    expect([status, text]).toEqual([500, expect.stringContaining('method GET implies readonly')])
  }
  expect(front.got).toEqual([])
})

test('no statement reaches an instance by another path', async () => {
  const front = await startFront([ok])
  // ClickHouse takes statements there, too.
  expect(await ask(front.url, `query?query=DROP+TABLE+shop.orders`)).toEqual([
    501,
    expect.stringContaining('DROP'),
  ])
  expect(await ask(front.url, `my/insert?query=${INSERT}`)).toEqual([
    501,
    expect.stringContaining('/my/insert'),
  ])
  expect(front.got).toEqual([])
  expect(await ask(front.url, 'play', { method: 'GET' })).toEqual([200, '1\n'])
  expect(await ask(front.url, 'query?query=SELECT+1')).toEqual([200, '1\n'])
})

test('what must not change an instance does not, whatever the client sets', async () => {
  const front = await startFront([ok])
  for (const search of ['', 'readonly=0', 'readonly=2&readonly=0', 'readonly=2'])
    await ask(front.url, `?${search}`, { body: 'FROBNICATE orders' })
  expect(front.got.map(({ search }) => search.getAll('readonly'))).toEqual([['2'], ['2'], ['2'], ['2']])
})

test('what ClickHouse would read otherwise is refused', async () => {
  const front = await startFront([ok])
  for (const [search, words] of [
    ['?Query=SELECT+1', 'write it query'],
    ['?dialect=kusto', 'dialect'],
    ['?implicit_select=1', 'implicit_select'],
    ['?implicit_table_at_top_level=orders', 'implicit_table_at_top_level'],
  ] as const)
    expect((await ask(front.url, search, { body: 'SELECT 1' }))[1]).toContain(words)
  expect(front.got).toEqual([])
})

test('a multipart body is refused in words: what it says would be missed', async () => {
  const front = await startFront([ok])
  const body = new FormData()
  body.append('param_c', 'ann')
  const [status, text] = await ask(front.url, '?query=SELECT+1+FROM+shop.orders', { body })
  expect([status, text]).toEqual([501, expect.stringContaining('parameters into the URL')])
  expect(front.got).toEqual([])
})

test('headers name database and key as ClickHouse and people write them', async () => {
  const front = await startFront([ok, (response) => void response.end('2\n')])
  const headers = { 'X-ClickHouse-Database': 'shop', 'X-Forestall-Key': Buffer.from('ü').toString('latin1') }
  const [, byHeader] = await ask(front.url, '?database=other', { body: 'SELECT 1 FROM orders', headers })
  const [, byUrl] = await ask(front.url, '?database=shop&forestall_key=%C3%BC', {
    body: 'SELECT 1 FROM orders',
  })
  const [, byStatement] = await ask(front.url, '?database=shop', {
    body: "SELECT 1 FROM orders WHERE customer = 'ü'",
  })
  expect(byHeader).toBe(byStatement)
  expect(byUrl).toBe(byStatement)
})

test('a body that cannot be decompressed is the error of the client, in words', async () => {
  const front = await startFront([ok])
  const frames = Buffer.concat([zstdCompressSync('SELECT 1'), zstdCompressSync(', 2')])
  const send = (body: Buffer, encoding: string) =>
    ask(front.url, '', { body: new Uint8Array(body), headers: { 'Content-Encoding': encoding } })
  expect(await send(Buffer.from('none'), 'gzip')).toEqual([400, expect.stringContaining('not whole gzip')])
  expect(await send(gzipSync('SELECT 1').subarray(0, 12), 'gzip')).toEqual([400, expect.anything()])
  expect(await send(frames, 'zstd')).toEqual([501, expect.stringContaining('several zstd frames')])
  expect(front.got).toEqual([])
  await send(Buffer.concat([gzipSync('SELECT 1'), gzipSync(', 2')]), 'gzip')
  expect(sqlOf(front)).toEqual(['SELECT 1, 2'])
})

test('a client that is still sending gets its refusal', async () => {
  const front = await startFront([ok])
  const insert = `${front.url}/?query=${encodeURIComponent('INSERT INTO shop.orders VALUES')}`
  const answer = await new Promise<string>((resolve, reject) => {
    const sent = request(insert, { method: 'POST' }, (reply) => {
      let text = ''
      reply.on('data', (piece) => (text += piece))
      reply.on('end', () => resolve(text))
    })
    sent.on('error', reject)
    sent.write('(now(), 1)')
    sent.end(Buffer.alloc(12 << 20, ' '))
  })
  expect(answer).toContain('now(...)')
  // That is no fault of the instance.
  expect(front.picker.isOut(0)).toBe(false)
})

test('a client that goes away in a large insert says nothing about the instance', async () => {
  const begun = Promise.withResolvers<void>()
  const front = await startFront([ok])
  const insert = `${front.url}/?query=${encodeURIComponent('INSERT INTO shop.orders FORMAT CSV')}`
  const sent = request(insert, { method: 'POST' })
  sent.on('error', () => undefined)
  sent.on('close', () => begun.resolve())
  sent.write(Buffer.alloc(3 << 20, '"a",1\n'), () => sent.destroy())
  await begun.promise
  // The next request is answered after the connection to the instance was closed.
  await ask(front.url, '', { body: 'SELECT 2' })
  await front.router.stop()
  expect(front.picker.isOut(0)).toBe(false)
})

test('what all requests hold together is bounded, and given back', async () => {
  const front = await startFront([ok], { more: { maxHeldBytes: 1 << 20 } })
  const statement = `SELECT ${' '.repeat(700_000)} 2`
  const send = () => ask(front.url, '', { body: statement })
  // One that is still sending holds what it has sent.
  const slow = request(front.url, { method: 'POST' })
  slow.on('error', () => undefined)
  await new Promise<void>((done) => void slow.write('-- '.repeat(200_000), () => done()))
  await vi.waitFor(async () => expect((await send())[0]).toBe(503))
  slow.destroy()
  await vi.waitFor(async () => expect((await send())[0]).toBe(200))
  expect((await send())[0]).toBe(200)
})

test('requests that could be read in two ways are not read', async () => {
  const { url } = await startFront([ok])
  const head = 'POST / HTTP/1.1\r\nHost: x\r\n'
  const body = '\r\n8\r\nSELECT 1\r\n0\r\n\r\n'
  for (const lengths of [
    'Content-Length: 8\r\nTransfer-Encoding: chunked\r\n',
    'Content-Length: 8\r\nContent-Length: 9\r\n',
  ])
    expect((await rawly(url, head + lengths + body)).text).toMatch(/^HTTP\/1\.1 400 /)
})

test('a head that does not come to its end is not waited for', async () => {
  const { url } = await startFront([ok], { more: { headersWithinMs: 100 } })
  expect((await rawly(url, 'POST / HTTP/1.1\r\nHost: x\r\nX-A')).text).toMatch(/^HTTP\/1\.1 408 /)
})

test('an answer that breaks off is told from a whole one by clients of HTTP/1.0, too', async () => {
  const { url } = await startFront([
    (response) => {
      response.write('x'.repeat(20_000))
      setTimeout(() => response.destroy(), 20)
    },
  ])
  const asked = 'POST / HTTP/1.0\r\nContent-Length: 8\r\n\r\nSELECT 2'
  expect((await rawly(url, asked)).isReset).toBe(true)
})

test('a query whose client has gone before it was sent is not sent', async () => {
  const waiting = Promise.withResolvers<void>()
  const gone = Promise.withResolvers<boolean>()
  const freshness = {
    decode: () => new Map([[0, 1]]),
    encode: () => '',
    needsOf: () => new Map([[0, 1]]),
    freshOf: () => [],
    untilFresh: () => (waiting.resolve(), gone.promise),
  }
  const front = await startFront([ok], { more: { freshness } })
  const sent = request(`${front.url}/?database=shop&forestall_token=t`, { method: 'POST' })
  sent.on('error', () => undefined)
  sent.end("SELECT 1 FROM orders WHERE customer = 'a'")
  await waiting.promise
  sent.destroy()
  await ask(front.url, '', { body: 'SELECT 2' })
  gone.resolve(true)
  await front.router.stop()
  expect(sqlOf(front)).toEqual(['SELECT 2'])
})

test('pipelined requests are answered in their order', async () => {
  const slowFirst = (response: { end(text: string): unknown }, { sql }: Got) =>
    void setTimeout(() => response.end(`${sql}\n`), sql.endsWith('5') ? 40 : 0)
  const { url } = await startFront([slowFirst])
  const one = (sql: string, more = '') =>
    `POST / HTTP/1.1\r\nHost: x\r\n${more}Content-Length: 8\r\n\r\n${sql}`
  const { text } = await rawly(url, one('SELECT 5') + one('SELECT 6', 'Connection: close\r\n'))
  expect(text.split('\n').filter((line) => line.startsWith('SELECT'))).toEqual(['SELECT 5', 'SELECT 6'])
})
