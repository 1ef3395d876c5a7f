import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { answerParts } from '../../../infra/query-router/parts.ts'
import { createUpstream } from '../../../infra/query-router/upstream.ts'
import { failOnLeaks } from '../../support/leaks.ts'

failOnLeaks()

async function serve(answer: (response: ServerResponse) => void): Promise<string> {
  const server = createServer((request, response) => {
    request.resume()
    answer(response)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A server that puts the answers of others together. */
async function joined(...urls: string[]): Promise<() => Promise<string>> {
  const upstreams = urls.map((url) => createUpstream(url))
  onTestFinished(() => upstreams.forEach((upstream) => upstream.close()))
  const url = await serve((response) => {
    const parts = upstreams.map((upstream) => ({
      upstream,
      search: new URLSearchParams(),
      headers: [],
      sql: 'SELECT 1',
      onLost() {},
    }))
    answerParts(response, parts).catch((error: Error) =>
      response.headersSent ? response.destroy() : response.writeHead(503).end(error.message),
    )
  })
  return async () => (await fetch(url, { method: 'POST', headers: { connection: 'close' } })).text()
}

test('answers of all parts are one answer', async () => {
  const ask = await joined(await serve((r) => r.end('a\n')), await serve((r) => r.end('b\n')))
  expect(await ask()).toBe('a\nb\n')
})

test('a part whose instance dies in mid-result breaks the answer off: nobody takes the others for the whole', async () => {
  const cut = await serve((response) => {
    response.write('half of b')
    setImmediate(() => response.destroy())
  })
  const ask = await joined(await serve((r) => r.end('a\n')), cut)
  await expect(ask()).rejects.toThrow(/terminated|failed|closed/)
})

test('a part that cannot be had at all is the answer, in its own words', async () => {
  const refuses = await serve((response) => response.writeHead(500).end('Code: 241. DB::Exception'))
  expect(await (await joined(await serve((r) => r.end('a\n')), refuses))()).toContain('Code: 241')
  const gone = await joined(await serve((r) => r.end('a\n')), 'http://127.0.0.1:9')
  expect(await gone()).toContain('ECONNREFUSED')
})
