import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import type { RouteBody } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { createAckSender, createBrokerSource, createFollower } from '#core/dataplane'
import { readStanding } from '#core/decisions'
import { type Broker, systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createKafkajsAckSender, createKafkajsSource } from '#infra/kafkajs'
import { createRegistryClient } from '#infra/registry'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { createRouteWorld, route, type RouteWorld } from './route-world.ts'

failOnLeaks()

let broker: Broker
let codec: RecordCodec
let folder = ''
beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'follower' })
  codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  folder = await mkdtemp(join(tmpdir(), 'follower-'))
})
afterAll(async () => {
  await broker.close()
  await rm(folder, { recursive: true })
})

/** A follower that keeps the share of west per stream in a map. */
function follow(world: RouteWorld, id: string, own: Broker = broker) {
  const inForce = new Map<string, number>()
  const sender = createAckSender({
    broker: own,
    topic: world.acks,
    encode: (ack) => world.encodeAck(ack),
    clock: systemClock,
    retryMs: 50,
  })
  const follower = createFollower<RouteBody>({
    id,
    source: createBrokerSource(own, world.routes, world.decode, { retryMs: 50 }),
    sendAck: (ack) => sender.send(ack),
    apply: async ({ entity, body }) => {
      inForce.set(entity, body.paths[0]?.weight ?? 0)
      return { west: String(body.paths[0]?.weight) }
    },
    revert: async (entity) => void inForce.delete(entity),
    clock: systemClock,
    snapshotFile: join(folder, `${id}.snapshot`),
  })
  const stop = async (): Promise<void> => {
    await follower.stop()
    await sender.close()
  }
  onTestFinished(stop)
  return { follower, sender, inForce, stop }
}

test('a decision travels: written in a transaction, in force, acknowledged, standing', async () => {
  const world = await createRouteWorld(broker, codec)
  const first = route('a', 0.25)
  await world.decide(['a', first], ['b', route('b', 0.5)], ['b', null])
  const { follower, inForce, sender } = follow(world, uniqueName('f'))
  await follower.start()
  await follower.caughtUp()
  expect(Object.fromEntries(inForce)).toEqual({ a: 0.25 })
  const second = route('a', 0.75, first)
  await world.decide(['a', second])
  await until(() => inForce.get('a') === 0.75)
  await follower.settled()
  await sender.flushed()
  expect(await world.readAcks()).toMatchObject([
    {
      decision_id: first.decision_id,
      decision_topic: world.routes,
      state: 'applied',
      observed: { west: '0.25' },
    },
    { decision_id: second.decision_id, epoch: second.epoch, state: 'applied', observed: { west: '0.75' } },
  ])
  await until(() => follower.lag() === 0)
  const standing = await readStanding(broker, world.routes, world.decode)
  expect([...standing.keys()]).toEqual(['a'])
  expect(standing.get('a')).toEqual(second)
})

test('what stands is read up to the uncommitted end: an open transaction is waited for', async () => {
  const world = await createRouteWorld(broker, codec)
  await world.decide(['a', route('a', 0.1)])
  const open = broker.transactionalProducer({ transactionalId: uniqueName('policy') })
  await open.init()
  const late = route('a', 0.9, route('a', 0.1))
  // Large enough to be sent before the commit.
  const padding = { ...late, reason: { ...late.reason, drivers: ['x'.repeat(1_500_000)] } }
  const admin = broker.admin()
  const end = async () =>
    (await admin.offsets([{ topic: world.routes, partition: 0 }], 'latest')).get(`${world.routes}:0`) ?? 0
  const before = await end()
  open.add(
    world.routes,
    0,
    systemClock.nowMs(),
    Buffer.from('a'),
    codec.encode(world.routes, 'RouteDecision', late),
  )
  for (let i = 0; i < 3 && (await end()) === before; i++) {
    const value = codec.encode(world.routes, 'RouteDecision', { ...padding, entity: `pad${i}` })
    open.add(world.routes, 0, systemClock.nowMs(), Buffer.from(`pad${i}`), value.subarray(0, 800_000))
    await until(async () => (await end()) > before, { timeoutMs: 500 }).catch(() => undefined)
  }
  expect(await end()).toBeGreaterThan(before)
  await admin.close()
  let isDone = false
  const reading = readStanding(broker, world.routes, world.decode).finally(() => {
    isDone = true
  })
  await world.readAcks()
  expect(isDone).toBe(false)
  await open.abort()
  expect((await reading).get('a')?.body.paths[0]?.weight).toBe(0.1)
  await open.close()
})

test('without Kafka a restarted follower goes on from its disk; its reports wait', async () => {
  const world = await createRouteWorld(broker, codec)
  const id = uniqueName('f')
  await world.decide(['a', route('a', 0.25)])
  const before = follow(world, id)
  await before.follower.start()
  await before.follower.caughtUp()
  await before.stop()

  const nowhere = createBroker({
    bootstrapBrokers: ['127.0.0.1:9'],
    clientId: 'nowhere',
    retryForMs: 100,
    connection: { connectTimeoutMs: 100 },
  })
  const after = follow(world, id, nowhere)
  await after.follower.start()
  expect(after.inForce.get('a')).toBe(0.25)
  await until(() => after.follower.health().counters.sourceErrors > 0, { what: 'Kafka noticed as away' })
  expect(after.follower.health()).toMatchObject({ state: 'running', caughtUp: false, held: 1 })
  expect(after.sender.pending).toBe(1)
  await after.stop()
  await nowhere.close()
})

test('a process with kafkajs follows and reports through kafkajs', async () => {
  const world = await createRouteWorld(broker, codec)
  const decision = route('a', 0.25)
  await world.decide(['a', decision])
  const kafka = new Kafka({ brokers: inject('kafkaBrokers').split(','), logLevel: logLevel.NOTHING })
  const sender = createKafkajsAckSender({ kafka, topic: world.acks, encode: (ack) => world.encodeAck(ack) })
  const inForce = new Map<string, number>()
  const follower = createFollower<RouteBody>({
    id: uniqueName('f'),
    source: createKafkajsSource({ kafka, topic: world.routes, decode: world.decode }),
    sendAck: (ack) => sender.send(ack),
    apply: async ({ entity, body }) => {
      inForce.set(entity, body.paths[0]?.weight ?? 0)
      return {}
    },
    revert: async () => {},
    clock: systemClock,
  })
  await follower.start()
  await follower.caughtUp()
  expect(inForce.get('a')).toBe(0.25)
  await until(async () => (await world.readAcks()).length === 1, { what: 'the report' })
  expect(await world.readAcks()).toMatchObject([{ decision_id: decision.decision_id, state: 'applied' }])
  await follower.stop()
  await sender.close()
})
