import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Relay, startRelay } from '#infra/relay'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'

failOnLeaks()

/** Answers every byte with itself, and notes what it has heard. */
let heard = ''
let server: Server
let relay: Relay
const clients = new Set<Socket>()

beforeEach(async () => {
  heard = ''
  server = createServer((socket) => {
    socket.on('data', (bytes) => {
      heard += bytes.toString()
      socket.write(bytes)
    })
    socket.on('error', () => socket.destroy())
  })
  server.listen({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  relay = await startRelay({ targetPort: (server.address() as AddressInfo).port })
})

afterEach(async () => {
  for (const client of clients) client.destroy()
  clients.clear()
  await relay.close()
  const gone = once(server, 'close')
  server.close()
  await gone
})

interface Client {
  readonly socket: Socket
  readonly answers: () => string
  /** Code of the error that ended it, '' if none has. */
  readonly failed: () => string
}

async function open(): Promise<Client> {
  const socket = connect({ host: '127.0.0.1', port: relay.port })
  clients.add(socket)
  let text = ''
  let failure = ''
  socket.on('data', (bytes) => (text += bytes.toString()))
  socket.on('error', (error: NodeJS.ErrnoException) => (failure = error.code ?? error.message))
  await once(socket, 'connect')
  return { socket, answers: () => text, failed: () => failure }
}

test('what is sent comes back, and the end of one side reaches the other', async () => {
  const client = await open()
  client.socket.write('hello')
  await until(() => client.answers() === 'hello')
  client.socket.end()
  await once(client.socket, 'close')
  await until(() => relay.connections === 0)
  expect(relay.passed).toEqual({ requests: 5, answers: 5 })
})

test('a server that is away resets its clients, and may come back', async () => {
  const { port } = server.address() as AddressInfo
  server.close()
  const early = await open()
  await until(() => early.failed() !== '')
  server.listen({ host: '127.0.0.1', port })
  await once(server, 'listening')
  const late = await open()
  late.socket.write('x')
  await until(() => late.answers() !== '')
  expect([early.failed(), late.failed()]).toEqual(['ECONNRESET', ''])
})

describe('half-open', () => {
  test('connections stand and are accepted, nothing arrives; healing delivers what was held', async () => {
    const before = await open()
    const heal = relay.inject({ kind: 'half-open' })
    const during = await open()
    before.socket.write('a')
    during.socket.write('b')
    await until(() => relay.connections === 2)
    const other = await startRelay({ targetPort: (server.address() as AddressInfo).port })
    // What goes past the fault arrives, so what does not has had the time to.
    const past = connect({ host: '127.0.0.1', port: other.port })
    past.end('c')
    await once(past.resume(), 'close')
    await other.close()
    expect(heard).toBe('c')
    await heal()
    await until(() => before.answers() === 'a' && during.answers() === 'b')
  })

  test('of answers: the server hears, the client does not learn of it; healing with a reset', async () => {
    const client = await open()
    const idle = await open()
    const heal = relay.inject({ kind: 'half-open', direction: 'answers', healing: 'reset' })
    client.socket.write('commit')
    await until(() => heard === 'commit')
    await until(() => relay.connections === 2)
    await heal()
    await until(() => client.failed() === 'ECONNRESET')
    expect(client.answers()).toBe('')
    idle.socket.write('!')
    await until(() => idle.answers() === '!')
  })

  test('a client that has given up is still heard when the network comes back', async () => {
    const client = await open()
    const heal = relay.inject({ kind: 'half-open', direction: 'requests' })
    client.socket.write('too late')
    client.socket.end()
    await until(() => client.socket.writableFinished)
    expect(heard).toBe('')
    await heal()
    await until(() => heard === 'too late')
  })
})

test('cut: what stands is reset, new connections are refused until it heals', async () => {
  const client = await open()
  client.socket.write('x')
  await until(() => client.answers() === 'x')
  const heal = relay.inject({ kind: 'cut' })
  await until(() => client.failed() === 'ECONNRESET')
  await until(async () => {
    const refused = await open().catch((error: NodeJS.ErrnoException) => error.code)
    return refused === 'ECONNREFUSED'
  })
  await heal()
  await heal()
  const again = await open()
  again.socket.write('y')
  await until(() => again.answers() !== '')
  expect(again.answers()).toBe('y')
})

test('reset: after so many bytes of answers, in old and new connections', async () => {
  const old = await open()
  const heal = relay.inject({ kind: 'reset', afterBytes: 3 })
  for (const client of [old, await open()]) {
    client.socket.write('abc')
    await until(() => client.answers() === 'abc')
    client.socket.write('d')
    await until(() => client.failed() === 'ECONNRESET')
  }
  await heal()
  const healed = await open()
  healed.socket.write('abcdef')
  await until(() => healed.answers() !== '')
  expect(healed.answers()).toBe('abcdef')
})

test('latency delays, and adds up', async () => {
  relay.inject({ kind: 'latency', delayMs: 40, direction: 'requests' })
  relay.inject({ kind: 'latency', delayMs: 40, direction: 'answers' })
  const client = await open()
  const startMs = performance.now()
  client.socket.write('x')
  await until(() => client.answers() === 'x')
  expect(performance.now() - startMs).toBeGreaterThan(79)
})

test('bandwidth', async () => {
  relay.inject({ kind: 'bandwidth', bytesPerSecond: 20_000, direction: 'answers' })
  const client = await open()
  const startMs = performance.now()
  client.socket.write('x'.repeat(4000))
  await until(() => client.answers().length === 4000)
  expect(performance.now() - startMs).toBeGreaterThan(170)
})

test('whatever faults come and go, the bytes of a connection that was not reset keep their order', async () => {
  const fault = fc.oneof(
    fc.record({ kind: fc.constant('latency' as const), delayMs: fc.nat(5), jitterMs: fc.nat(10) }),
    fc.record({ kind: fc.constant('half-open' as const) }),
    fc.record({
      kind: fc.constant('bandwidth' as const),
      bytesPerSecond: fc.integer({ min: 5000, max: 50_000 }),
    }),
  )
  const step = fc.record({ fault, text: fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 200 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 5 }), async (steps) => {
      const client = await open()
      let sent = ''
      for (const { fault: next, text } of steps) {
        const heal = relay.inject(next)
        client.socket.write(text)
        sent += text
        await heal()
      }
      await until(() => client.answers().length === sent.length)
      expect(client.answers()).toBe(sent)
      client.socket.end()
    }),
    { numRuns: 30 },
  )
})
