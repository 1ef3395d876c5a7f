import { expect, test } from 'vitest'
import { createKillableRead } from '../../../infra/query-router/killable-read.ts'
import type { UpstreamRequest } from '../../../infra/query-router/upstream.ts'

const request = (path: string, headers: string[] = []): UpstreamRequest => ({
  method: 'POST',
  path,
  headers,
  body: null,
  isRepeatable: true,
})

/** Path of a read as it is sent, and the path and body that would kill it. */
function sentAndKilled(path: string, headers: string[] = []): { sent: string; killed: string } {
  const read = createKillableRead(request(path, headers))
  let killed = ''
  read.kill({
    url: '',
    send({ body }) {
      killed = body instanceof Uint8Array ? Buffer.from(body).toString() : ''
      return { pause() {}, resume() {}, abort() {} }
    },
    close() {},
  })
  return { sent: read.request.path, killed }
}

test('a read keeps the id that its client gave it, by URL or header; else it gets one', () => {
  const byUrl = sentAndKilled('/?query_id=a')
  expect(byUrl).toEqual({ sent: '/?query_id=a', killed: "KILL QUERY WHERE query_id = 'a' ASYNC" })
  const byHeader = sentAndKilled('/?x=1', ['X-ClickHouse-Query-Id', "b'"])
  expect(byHeader).toEqual({ sent: '/?x=1', killed: String.raw`KILL QUERY WHERE query_id = 'b\'' ASYNC` })
  const { sent, killed } = sentAndKilled('/')
  expect(sent).toMatch(/^\/\?query_id=[\da-f-]{36}$/)
  expect(killed).toContain(sent.slice(-36))
  // What is no query has none.
  expect(sentAndKilled('/play')).toEqual({ sent: '/play', killed: '' })
})
