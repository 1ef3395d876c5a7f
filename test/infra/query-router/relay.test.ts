import { createServer, request, type IncomingHttpHeaders } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { createRelay, type Relay } from '../../../infra/query-router/relay.ts'
import { failOnLeaks } from '../../support/leaks.ts'

failOnLeaks()

const HEAD = { status: 200, reason: 'OK', headers: ['X-A', '1', 'Connection', 'close'], length: -1 }

/** A client of a relay that is driven by hand: the first piece, and all of the answer. */
async function relayed(drive: (relay: Relay) => void) {
  const { promise: relay, resolve } = Promise.withResolvers<Relay>()
  const server = createServer((_, response) => resolve(createRelay(response, [], () => undefined)))
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  onTestFinished(() => {
    server.closeAllConnections()
    server.close()
  })
  const first = Promise.withResolvers<string>()
  const whole = Promise.withResolvers<{ headers: IncomingHttpHeaders; body: Buffer; pieces: number }>()
  whole.promise.catch(() => undefined)
  request({ port: (server.address() as AddressInfo).port }, (answer) => {
    const pieces: Buffer[] = []
    answer.on('data', (piece: Buffer) => {
      pieces.push(piece)
      first.resolve(piece.toString())
    })
    answer.on('end', () => {
      whole.resolve({ headers: answer.headers, body: Buffer.concat(pieces), pieces: pieces.length })
    })
    answer.on('error', whole.reject)
  })
    .on('error', whole.reject)
    .end()
  const driven = await relay
  drive(driven)
  return { relay: driven, first: first.promise, whole: whole.promise }
}

test('a short answer whose end comes in a packet of its own goes out in one piece, with its length', async () => {
  const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
  const { whole } = await relayed((relay) => {
    relay.onHead(HEAD)
    relay.onBody(bytes, false)
    relay.onBody(Buffer.alloc(0), true)
  })
  const { headers, body, pieces } = await whole
  expect(headers['content-length']).toBe('256')
  expect(headers['x-a']).toBe('1')
  expect(pieces).toBe(1)
  expect(body).toEqual(bytes)
})

test('a first piece that nothing follows is passed on all the same, and the rest after it', async () => {
  const { relay, first, whole } = await relayed((driven) => {
    driven.onHead(HEAD)
    driven.onBody(Buffer.from('row 1\n'), false)
  })
  // The instance is silent: the client has its row.
  expect(await first).toBe('row 1\n')
  relay.onBody(Buffer.from('row 2\n'), false)
  relay.onBody(Buffer.from('row 3\n'), true)
  const { headers, body } = await whole
  expect(headers['transfer-encoding']).toBe('chunked')
  expect(body.toString()).toBe('row 1\nrow 2\nrow 3\n')
})

test('pieces that follow one another keep their order, also behind one that was held back', async () => {
  const large = Buffer.alloc(20_000, 'x')
  const { whole } = await relayed((relay) => {
    relay.onHead(HEAD)
    relay.onBody(Buffer.from('a'), false)
    relay.onBody(large, false)
    relay.onBody(Buffer.from('b'), false)
    relay.onBody(Buffer.from('c'), true)
  })
  expect((await whole).body.toString()).toBe(`a${large.toString()}bc`)
})

test('an answer that breaks off behind its first piece is not taken for a whole one', async () => {
  const { relay, whole, first } = await relayed((driven) => {
    driven.onHead({ ...HEAD, length: 100 })
    driven.onBody(Buffer.from('some'), false)
  })
  expect(await first).toBe('some')
  relay.onFailure(new Error('gone'), true)
  await expect(whole).rejects.toThrow(/aborted|hang up|ECONNRESET/)
})
