import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join as joinPath } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Broker } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { freePort, startKafka, type KafkaProcess } from '#infra/local'
import { createTopic, join, partitionsOf, readAll, values } from '../conformance/broker/bench.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

// Connections that stand and carry nothing, as after a host has vanished, while new ones work: nothing tells of it.
const REQUEST_MS = 1000
const dataDir = mkdtempSync(joinPath(tmpdir(), 'kafka-silence-'))
let kafka: KafkaProcess
let way: Way
let broker: Broker
/** Not by way of the relay. */
let direct: Broker

const JOIN_GROUP = 11

interface Way {
  readonly port: number
  /** All connections that stand go silent, for good. */
  silence(): void
  /** The next request of this kind is passed on, and its connection is silent from then on. */
  swallowAnswerTo(apiKey: number): void
  close(): void
}

interface Link {
  readonly client: Socket
  readonly upstream: Socket
  silent: boolean
}

async function openWay(port: number, targetPort: number): Promise<Way> {
  const links = new Set<Link>()
  let swallowed = -1
  const server: Server = createServer((client) => {
    const link: Link = { client, upstream: connect(targetPort, '127.0.0.1'), silent: false }
    const { upstream } = link
    links.add(link)
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => from.destroy())
      from.on('close', () => link.silent || to.destroy())
    }
    upstream.on('data', (bytes) => link.silent || client.write(bytes))
    client.on('data', (bytes: Buffer) => {
      if (link.silent) return
      upstream.write(bytes)
      // A request begins with its length and the number of its kind.
      if (bytes.length < 6 || bytes.readInt16BE(4) !== swallowed) return
      link.silent = true
      swallowed = -1
    })
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  return {
    port,
    silence: () => {
      for (const link of links) link.silent = true
    },
    swallowAnswerTo(apiKey) {
      swallowed = apiKey
    },
    close() {
      server.close()
      for (const { client, upstream } of links) for (const socket of [client, upstream]) socket.destroy()
    },
  }
}

beforeAll(async () => {
  const [inner, outer] = [await freePort(), await freePort()]
  kafka = await startKafka({
    dataDir,
    partsDir: joinPath(process.cwd(), '.forestall', 'parts'),
    listeners: [{ name: 'RELAYED', port: inner, advertisedPort: outer }],
  })
  way = await openWay(outer, inner)
  const clientId = 'silence'
  direct = createBroker({ bootstrapBrokers: [kafka.broker], clientId })
  broker = createBroker({
    bootstrapBrokers: [`127.0.0.1:${way.port}`],
    clientId,
    connection: { requestTimeoutMs: REQUEST_MS },
  })
})
afterAll(async () => {
  await broker.close()
  await direct.close()
  way.close()
  await kafka.stop()
  rmSync(dataDir, { recursive: true, force: true })
})

test('a commit over connections that have all gone silent waits for one timeout, not for one each', async () => {
  const topic = await createTopic(direct, 1)
  const groupId = uniqueName('silence')
  const member = await join(broker, { groupId, topics: [topic] })
  const assignment = await member.assigned()
  const producer = broker.transactionalProducer({ transactionalId: uniqueName('silence') })
  await producer.init()
  const commit = async (value: string, offset: number): Promise<void> => {
    producer.add(topic, 0, 1, null, Buffer.from(value))
    const sent = producer.sendOffsets(groupId, assignment, [{ topic, partition: 0, offset, metadata: '' }])
    await Promise.all([sent, producer.commit()])
  }
  await commit('before', 1)

  way.silence()
  const began = performance.now()
  await commit('after', 2)
  // The transaction's coordinator, the group's and the lookup of both lie behind three silent connections.
  expect(performance.now() - began).toBeLessThan(1.9 * REQUEST_MS)
  expect(values(await readAll(direct, topic, { partitions: 1, until: 'end' }))).toEqual(['before', 'after'])
  expect((await direct.admin().committed(groupId, partitionsOf(topic)))[0]?.offset).toBe(2)
  expect(member.errors).toEqual([])
})

test('a join whose answer is lost is repeated once the group has gone on, not after the longest join', async () => {
  const topic = await createTopic(direct, 2)
  const options = { groupId: uniqueName('silence'), topics: [topic], sessionTimeoutMs: 10_000 }
  const first = await join(broker, { ...options, groupInstanceId: 'a' })
  await first.assigned()
  way.swallowAnswerTo(JOIN_GROUP)
  const began = performance.now()
  const second = await join(direct, { ...options, groupInstanceId: 'b' })
  await until(() => [first, second].every(({ assignments }) => assignments.at(-1)?.partitions.length === 1))
  // Two heartbeats a second apart; a join may take 60 s, and a session 10 s.
  expect(performance.now() - began).toBeLessThan(8000)
  expect([...first.errors, ...second.errors]).toEqual([])
  await first.close()
  await second.close()
})
