import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { type Ack, type RouteBody, topicSpec } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { createAckSender, createBrokerSource, createFollower } from '#core/dataplane'
import { makeDecision, readStanding } from '#core/decisions'
import { type Broker, type Decision, type DecodeDecision, mulberry32, systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const random = mulberry32(11)
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

interface World {
  routes: string
  acks: string
}

async function newWorld(): Promise<World> {
  const prefix = uniqueName('follower')
  const admin = broker.admin()
  const specs = ['decisions.traffic.routes', 'acks.decisions'].map((base) => topicSpec(base, { prefix }))
  await admin.ensureTopics(specs)
  await admin.close()
  const [routes = '', acks = ''] = specs.map((s) => s.name)
  await codec.prepare([
    { topic: routes, record: 'RouteDecision' },
    { topic: acks, record: 'Ack' },
  ])
  return { routes, acks }
}

const decode: DecodeDecision<RouteBody> = (value) =>
  codec.decodeAsync(value, 0, value.length, 'RouteDecision')

function route(
  stream: string,
  west: number,
  previous: Decision<RouteBody> | null = null,
): Decision<RouteBody> {
  return makeDecision<RouteBody>({
    subsystem: 'traffic-routing',
    entity: stream,
    body: {
      stream,
      paths: [
        { path_id: 'p1', region: 'west', weight: west },
        { path_id: 'p2', region: 'east', weight: 1 - west },
      ],
      assignments: [],
      region_owner: '',
    },
    previous,
    issuedAtMs: systemClock.nowMs(),
    lifeMs: 600_000,
    mode: 'apply',
    reason: { risk: 0.4, drivers: ['test'], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 1 },
    inputs: [],
    modelVersion: 'm1',
    policyVersion: 'p1',
    random,
  })
}

/** Writes decisions and tombstones in one transaction. */
async function decide(topic: string, ...rows: [stream: string, decision: Decision<RouteBody> | null][]) {
  const producer = broker.transactionalProducer({ transactionalId: uniqueName('policy') })
  await producer.init()
  for (const [stream, decision] of rows) {
    const value = decision === null ? null : codec.encode(topic, 'RouteDecision', decision)
    producer.add(topic, 0, systemClock.nowMs(), Buffer.from(stream), value)
  }
  await producer.commit()
  await producer.close()
}

async function readAcks(topic: string): Promise<Ack[]> {
  const acks: Ack[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic, partition: 0, from: 'earliest' }],
    until: 'end',
    onBatch: async (cursor) => {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        acks.push(await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, 'Ack'))
      }
    },
  })
  await reader.done
  await reader.close()
  return acks
}

/** A follower that keeps the share of west per stream in a map. */
function follow(world: World, id: string, own: Broker = broker) {
  const inForce = new Map<string, number>()
  const sender = createAckSender({
    broker: own,
    topic: world.acks,
    encode: (ack) => codec.encode(world.acks, 'Ack', ack),
    clock: systemClock,
    retryMs: 50,
  })
  const follower = createFollower<RouteBody>({
    id,
    source: createBrokerSource(own, world.routes, decode, { retryMs: 50 }),
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
  const world = await newWorld()
  const first = route('a', 0.25)
  await decide(world.routes, ['a', first], ['b', route('b', 0.5)], ['b', null])
  const { follower, inForce, sender } = follow(world, uniqueName('f'))
  await follower.start()
  await follower.caughtUp()
  expect(Object.fromEntries(inForce)).toEqual({ a: 0.25 })
  const second = route('a', 0.75, first)
  await decide(world.routes, ['a', second])
  await until(() => inForce.get('a') === 0.75)
  await follower.settled()
  await sender.flushed()
  expect(await readAcks(world.acks)).toMatchObject([
    {
      decision_id: first.decision_id,
      decision_topic: world.routes,
      state: 'applied',
      observed: { west: '0.25' },
    },
    { decision_id: second.decision_id, epoch: second.epoch, state: 'applied', observed: { west: '0.75' } },
  ])
  await until(() => follower.lag() === 0)
  const standing = await readStanding(broker, world.routes, decode)
  expect([...standing.keys()]).toEqual(['a'])
  expect(standing.get('a')).toEqual(second)
})

test('what stands is read up to the uncommitted end: an open transaction is waited for', async () => {
  const world = await newWorld()
  await decide(world.routes, ['a', route('a', 0.1)])
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
  const reading = readStanding(broker, world.routes, async (value) => {
    const decision = await codec.decodeAsync(value, 0, value.length, 'RouteDecision')
    return decision
  }).finally(() => {
    isDone = true
  })
  await readAcks(world.acks)
  expect(isDone).toBe(false)
  await open.abort()
  expect((await reading).get('a')?.body.paths[0]?.weight).toBe(0.1)
  await open.close()
})

test('without Kafka a restarted follower goes on from its disk, and reports once Kafka is back', async () => {
  const world = await newWorld()
  const id = uniqueName('f')
  await decide(world.routes, ['a', route('a', 0.25)])
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
  expect(after.sender.pending).toBeGreaterThanOrEqual(0)
  await after.stop()
  await nowhere.close()
})
