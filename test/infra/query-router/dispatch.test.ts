import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { expect, onTestFinished, test } from 'vitest'
import { type DispatchCounters, dispatch } from '../../../infra/query-router/dispatch.ts'
import { createUpstream } from '../../../infra/query-router/upstream.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'

failOnLeaks()

async function serve(answer: (request: IncomingMessage, response: ServerResponse) => void): Promise<string> {
  const server: Server = createServer(answer)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A router of one statement over two instances, the first of which is asked first. */
async function front(urls: readonly string[], mayHedge: boolean, isRead = true, path = '/') {
  const upstreams = urls.map((url) => createUpstream(url))
  onTestFinished(() => upstreams.forEach((u) => u.close()))
  const counters: DispatchCounters = { requests: 0, retries: 0, hedges: 0, hedgesWon: 0, brokenAnswers: 0 }
  const failures: Error[] = []
  let hasClosed = false
  const url = await serve((request, response) => {
    const plan = {
      kind: 'one',
      candidates: [0, 1],
      weights: [],
      segments: [],
      keys: [],
      isRead,
      filters: '',
      isGuarded: false,
      operation: 'q',
    } as const
    const job = {
      method: 'POST',
      path,
      headers: ['X-ClickHouse-User', 'me', 'Content-Encoding', 'gzip'],
      body: Buffer.from('SELECT 1'),
      plan,
      candidates: [0, 1],
      mayHedge,
      extraHeaders: [],
    }
    const picker = {
      pick: (
        candidates: readonly number[],
        _work: number,
        _now: number,
        _weights?: readonly number[],
        avoid = -1,
      ) => candidates.find((i) => i !== avoid) ?? -1,
      begin() {},
      answered() {},
      end() {},
      down() {},
      probesDue: () => [],
      isOut: () => false,
      probed() {},
    }
    const deps = {
      upstreams,
      names: ['a', 'b'],
      picker,
      expectation: { of: () => 5, note() {} },
      hedging: { delayMs: () => 20, take: () => true, note() {} },
      nowMs: () => performance.now(),
      counters,
    }
    request.resume()
    response.on('close', () => (hasClosed = true))
    dispatch(deps, job, response).catch((error: Error) => {
      failures.push(error)
      response.writeHead(503).end(error.message)
    })
  })
  const ask = async () => (await fetch(url, { method: 'POST', headers: { connection: 'close' } })).text()
  return { ask, counters, failures, url, closed: () => hasClosed }
}

test('a late read is answered by the second instance, and the first one ends in its own time', async () => {
  const late = Promise.withResolvers<ServerResponse>()
  const slow = await serve((_, response) => late.resolve(response))
  const fast = await serve((_, response) => response.end('fast'))
  const { ask, counters } = await front([slow, fast], true)
  expect(await ask()).toBe('fast')
  const first = await late.promise
  expect(first.destroyed).toBe(false)
  first.end('slow')
  expect(counters).toMatchObject({ hedges: 1, hedgesWon: 1, brokenAnswers: 0 })
})

test('a connection that breaks before the first byte: a read goes to another instance, a write does not', async () => {
  let written = 0
  const breaks = await serve((request) => request.socket.destroy())
  const sound = await serve((_, response) => {
    written++
    response.end('sound')
  })
  const read = await front([breaks, sound], false)
  expect(await read.ask()).toBe('sound')
  expect(read.counters).toMatchObject({ retries: 1 })
  written = 0
  const write = await front([breaks, sound], true, false)
  expect(await write.ask()).toContain('It may or may not have taken effect')
  expect(written).toBe(0)
})

test('an answer that breaks off is broken off for the client', async () => {
  const cut = await serve((_, response) => {
    response.write('part')
    setImmediate(() => response.destroy())
  })
  const { ask, counters } = await front([cut, cut], true)
  await expect(ask()).rejects.toThrow(/terminated|failed|closed/)
  expect(counters).toMatchObject({ brokenAnswers: 1, retries: 0 })
})

/** An instance that answers nothing but statements that kill; gives their paths and texts. */
async function stalled(): Promise<{
  url: string
  reads: string[]
  kills: Promise<{ path: string; sql: string; user: string }>
}> {
  const reads: string[] = []
  const kill = Promise.withResolvers<{ path: string; sql: string; user: string }>()
  const url = await serve((request, response) => {
    void text(request).then((sql) => {
      if (!sql.startsWith('KILL')) return reads.push(request.url ?? '')
      kill.resolve({ path: request.url ?? '', sql, user: String(request.headers['x-clickhouse-user']) })
      return response.end()
    })
  })
  return { url, reads, kills: kill.promise }
}

test.each([
  [
    'with an id of its own',
    '/?query_id=a%27b&user=u&password=p',
    "KILL QUERY WHERE query_id = 'a\\'b' ASYNC",
    '/?user=u&password=p',
  ],
  ['without one', '/', null, '/?'],
])(
  'a read that nobody waits for any more is killed at its instance: %s',
  async (_, path, statement, killPath) => {
    const { url, reads, kills } = await stalled()
    const router = await front([url, url], false, true, path)
    const asked = request(router.url, { method: 'POST' })
    asked.on('error', () => undefined)
    asked.end()
    await until(() => reads.length === 1, { what: 'the read' })
    asked.destroy()
    const { sql, path: askedPath, user } = await kills
    const id = new URLSearchParams(reads[0]?.slice(2)).get('query_id') ?? ''
    expect(sql).toBe(statement ?? `KILL QUERY WHERE query_id = '${id}' ASYNC`)
    expect(id.length).toBeGreaterThan(2)
    expect({ askedPath, user }).toEqual({ askedPath: killPath, user: 'me' })
  },
)

test('a statement that may have changed something is not killed', async () => {
  const { url, reads, kills } = await stalled()
  const router = await front([url, url], false, false)
  const asked = request(router.url, { method: 'POST' })
  asked.on('error', () => undefined)
  asked.end()
  await until(() => reads.length === 1, { what: 'the statement' })
  asked.destroy()
  await until(() => router.closed(), { what: 'the end of the client' })
  await fetch(url, { method: 'POST', body: 'KILL of the test', headers: { connection: 'close' } })
  expect(await kills).toMatchObject({ sql: 'KILL of the test' })
  expect(reads).toEqual(['/'])
})

test('a client that goes away in mid-result ends the answer at the instance', async () => {
  const closed = Promise.withResolvers<boolean>()
  const endless = await serve((_, response) => {
    const more = (): void => {
      if (!response.destroyed) response.write('x'.repeat(10_000), more)
    }
    response.on('close', () => closed.resolve(response.writableFinished))
    more()
  })
  const { url } = await front([endless, endless], true)
  const asked = request(url, { method: 'POST' }, (answer) => {
    answer.on('error', () => undefined)
    answer.once('data', () => asked.destroy())
  })
  asked.on('error', () => undefined)
  asked.end()
  // It was told so by its connection, not by an answer that had come to its end.
  expect(await closed.promise).toBe(false)
})

test('an exception that an instance writes into an answer that has begun comes through as it is', async () => {
  const words =
    "\r\n__exception__\r\nabc\r\nCode: 395. DB::Exception: Value passed to 'throwIf'\r\n70 abc\r\n__exception__\r\n"
  const failing = await serve((_, response) => {
    response.writeHead(200, { 'X-ClickHouse-Exception-Tag': 'abc' })
    response.write('1\n2\n')
    setImmediate(() => response.end(words))
  })
  const { url } = await front([failing, failing], false)
  const answer = await fetch(url, { method: 'POST', headers: { connection: 'close' } })
  expect(answer.headers.get('x-clickhouse-exception-tag')).toBe('abc')
  expect(await answer.text()).toBe(`1\n2\n${words}`)
})
