import { request } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { ForestallError, type Warehouse } from '#core/ports'
import { createExposition } from '#infra/observability'
import { startWeb, type WebServer, type WebStatus } from '#infra/web'
import { isOwnHost } from '../../../infra/web/guard.ts'
import { failOnLeaks } from '../../support/leaks.ts'

failOnLeaks()

const status: WebStatus = {
  phase: 'running',
  startedAtMs: 0,
  windowMs: 10_000,
  parts: [],
  counters: {
    recordsIn: 1,
    windows: 0,
    forecasts: 0,
    risks: 0,
    decisions: 0,
    acks: 0,
    deadLetters: 0,
    late: 0,
  },
  latencyMs: { p50: null, p99: null },
  followers: [],
  workers: [],
}

let asked: { sql: string; params: Record<string, unknown> | undefined }[]
let answer: () => Promise<unknown[]>
let errors: Error[]
let web: WebServer
const warehouse: Warehouse = {
  command: () => Promise.reject(new Error('the page only reads')),
  query: <Row>(sql: string, params?: Record<string, unknown>) => {
    asked.push({ sql, params })
    return answer() as Promise<Row[]>
  },
  insertRowBinary: () => Promise.reject(new Error('the page only reads')),
  close: () => Promise.resolve(),
}
beforeEach(async () => {
  asked = []
  errors = []
  answer = () => Promise.resolve([])
  web = await startWeb({
    warehouse,
    status: () => status,
    title: 'A <b> & c',
    onError: (it) => errors.push(it),
  })
})
afterEach(() => web.stop())

/** fetch does not let a test choose the Host header, and it tidies addresses. */
function raw(path: string, host?: string): Promise<{ status: number; body: Record<string, unknown> }> {
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(web.url)
    const headers = host === undefined ? {} : { host }
    const sent = request({ hostname, port, path, headers, agent: false }, (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          body: JSON.parse(text || '{}') as Record<string, unknown>,
        }),
      )
    })
    sent.on('error', reject)
    sent.end()
  })
}
const get = async (path: string) => {
  const response = await fetch(web.url + path)
  return { response, body: (await response.json()) as Record<string, unknown> }
}

describe('the guard', () => {
  test.each(['127.0.0.1', '127.0.0.1:8080', 'localhost:1', 'LOCALHOST', '[::1]:80'])(
    '%s is this machine',
    (host) => {
      expect(isOwnHost(host)).toBe(true)
    },
  )
  test.each([
    undefined,
    '',
    'evil.example',
    '127.0.0.1.evil.example',
    'localhost.evil:80',
    '127.0.0.1:80:80',
  ])('%s is not', (host) => {
    expect(isOwnHost(host)).toBe(false)
  })

  test('a name that resolves here but is not ours is refused, before anything is asked', async () => {
    const { status, body } = await raw('/api/streams', 'rebound.example')
    expect([status, body['code']]).toEqual([421, 'HOST_REFUSED'])
    expect(asked).toEqual([])
  })

  test('every answer forbids frames, foreign content and inline scripts', async () => {
    for (const path of ['/', '/app.js', '/api/status', '/nothing']) {
      const { headers } = await fetch(web.url + path)
      expect(headers.get('content-security-policy')).toContain("default-src 'none'; script-src 'self'")
      expect(headers.get('x-content-type-options')).toBe('nosniff')
      expect(headers.get('access-control-allow-origin')).toBeNull()
    }
  })

  test.each(['/..%2f..%2fpackage.json', '/../package.json', '/vendor/../server.ts', '/page/index.html'])(
    '%s is not served',
    async (path) => {
      expect(await raw(path)).toMatchObject({ status: 404, body: { code: 'NOT_FOUND' } })
    },
  )

  test('an address that cannot be decoded is an error in the same shape', async () => {
    expect(await raw('/%ff')).toMatchObject({ status: 400, body: { code: 'REQUEST_INVALID' } })
  })

  test('writing is not possible', async () => {
    const response = await fetch(`${web.url}/api/streams`, { method: 'DELETE' })
    expect(response.status).toBe(404)
  })
})

describe('the API', () => {
  test('status is what the caller says', async () => {
    expect((await get('/api/status')).body).toMatchObject({ phase: 'running', counters: { recordsIn: 1 } })
  })

  test('a name with quotes is bound, never part of the statement; every statement is bounded', async () => {
    const stream = "x' OR 1=1 --"
    for (const path of ['series', 'shards', 'decisions'])
      await get(`/api/${path}?stream=${encodeURIComponent(stream)}`)
    await get(`/api/decision/${encodeURIComponent(stream)}`)
    expect(asked.length).toBeGreaterThan(5)
    expect(asked.filter(({ sql }) => sql.includes('OR 1=1'))).toEqual([])
    expect(asked.some(({ params }) => params?.['stream'] === stream)).toBe(true)
    expect(asked.filter(({ sql }) => !sql.includes('max_execution_time'))).toEqual([])
    expect(asked.filter(({ sql }) => !/LIMIT|SELECT toUnixTimestamp64Milli\(max/.test(sql))).toEqual([])
  })

  test('before the first record everything is empty, and a decision is not found', async () => {
    expect((await get('/api/streams')).body).toEqual({ newestMs: 0, total: 0, streams: [] })
    expect((await get('/api/shards?stream=a')).body).toEqual({ stream: 'a', decision: null, shards: [] })
    expect((await get('/api/decisions')).body).toEqual({ decisions: [] })
    const { response, body } = await get('/api/decision/none')
    expect([response.status, body['code']]).toEqual([404, 'NOT_FOUND'])
  })

  test('parameters are checked before ClickHouse is asked', async () => {
    const { response, body } = await get('/api/series?stream=a&spanMs=1')
    expect(response.status).toBe(400)
    expect(body).toMatchObject({ code: 'REQUEST_INVALID', cure: expect.any(String) as string })
    expect(asked).toEqual([])
  })

  test('a ClickHouse that is away is 503 with what to do, and is asked again', async () => {
    answer = () =>
      Promise.reject(new ForestallError('WAREHOUSE_UNAVAILABLE', 'ClickHouse at h: ECONNREFUSED'))
    const { response, body } = await get('/api/routes')
    expect(response.status).toBe(503)
    expect(body).toMatchObject({
      code: 'WAREHOUSE_UNAVAILABLE',
      cure: expect.stringContaining('CLICKHOUSE') as string,
    })
    expect((await fetch(`${web.url}/health`)).status).toBe(503)
    answer = () => Promise.resolve([])
    expect((await get('/api/routes')).body).toEqual({ routes: [] })
    expect((await fetch(`${web.url}/health`)).status).toBe(200)
  })

  test('what is not in the catalogue is told to the process, not to the browser', async () => {
    answer = () => Promise.reject(new Error('secret of the inside'))
    const { response, body } = await get('/api/regions')
    expect([response.status, body['code']]).toEqual([500, 'INTERNAL'])
    expect(JSON.stringify(body)).not.toContain('secret')
    expect(errors.map((it) => it.message)).toEqual(['secret of the inside'])
  })

  test('equal requests at once ask once', async () => {
    const { promise, resolve } = Promise.withResolvers<unknown[]>()
    answer = () => promise
    const both = Promise.all([get('/api/regions'), get('/api/regions')])
    const third = get('/api/regions?limit=7')
    resolve([])
    await Promise.all([both, third])
    expect(asked.map((it) => it.params?.['limit'])).toEqual([200, 7])
  })
})

test('the title is text', async () => {
  const page = await (await fetch(web.url)).text()
  expect(page).toContain('<title>A &#60;b&#62; &#38; c</title>')
})

test('stopping twice is fine, and the port is free again', async () => {
  await web.stop()
  await web.stop()
  const again = await startWeb({ warehouse, status: () => status, port: Number(new URL(web.url).port) })
  expect(again.url).toBe(web.url)
  await again.stop()
})

describe('metrics', () => {
  test('are there where a process has some, behind the same guard', async () => {
    const sample = { name: 'forestall_x_total', help: 'X.', kind: 'counter', labels: {}, value: 3 } as const
    const metrics = createExposition(() => [sample])
    const measured = await startWeb({ warehouse, status: () => status, metrics })
    try {
      const answer = await fetch(`${measured.url}/metrics`)
      expect(answer.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
      expect(await answer.text()).toContain('forestall_x_total 3\n')
      expect(asked).toEqual([])
    } finally {
      await measured.stop()
    }
  })

  test('are not, where it has none', async () => {
    expect((await get('/metrics')).response.status).toBe(404)
  })
})
