import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import type { RouteBody } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { createAckSender, createBrokerSource, createFollower } from '#core/dataplane'
import { type Broker, type DecisionSource, systemClock } from '#core/ports'
import { createHaproxyApplier } from '#infra/haproxy'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { type HaproxyBench, haproxyMissing, startBench } from '../infra/haproxy/bench.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { until } from '../support/until.ts'
import { createRouteWorld, route, type RouteWorld } from './route-world.ts'

failOnLeaks()

const missing = haproxyMissing()

describe.skipIf(missing !== '')(`decisions reach HAProxy ${missing}`, () => {
  let broker: Broker
  let codec: RecordCodec
  let bench: HaproxyBench
  beforeAll(async () => {
    broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'haproxy' })
    codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
    bench = await startBench(['west', 'east'], { west: 100, east: 100 })
  })
  afterAll(async () => {
    await bench.close()
    await broker.close()
  })

  function follow(world: RouteWorld, source: DecisionSource<RouteBody>) {
    const applier = createHaproxyApplier({
      socketPath: bench.haproxy.socketPath,
      backendOf: () => 'be',
      serverOf: (region) => region,
      pollMs: 20,
    })
    const sender = createAckSender({
      broker,
      topic: world.acks,
      encode: (ack) => world.encodeAck(ack),
      clock: systemClock,
    })
    const follower = createFollower<RouteBody>({
      ...applier,
      id: 'haproxy-1',
      source,
      sendAck: (ack) => sender.send(ack),
      clock: systemClock,
    })
    return {
      follower,
      applier,
      sender,
      stop: async () => {
        await follower.stop()
        await applier.stop()
        await sender.close()
      },
    }
  }
  const weights = async () =>
    Object.fromEntries((await bench.haproxy.client.showServersState('be')).map((s) => [s.server, s.weight]))
  const shareOfWest = async (count: number) => ((await bench.requests(count)).get('west') ?? 0) / count

  test('traffic follows the topic: applied, acknowledged, kept through a restart of HAProxy, expired to the default', async () => {
    const world = await createRouteWorld(broker, codec)
    const first = route('a', 0.8)
    await world.decide(['a', first])
    const { follower, applier, sender, stop } = follow(
      world,
      createBrokerSource(broker, world.routes, world.decode),
    )
    applier.start()
    await follower.start()
    await follower.caughtUp()
    expect(Math.abs((await shareOfWest(1000)) - 0.8)).toBeLessThan(0.03)

    await bench.haproxy.kill9()
    await until(() => !applier.health().reachable, { what: 'the crash is noticed' })
    const second = route('a', 0.25, first)
    await world.decide(['a', second])
    await until(() => follower.health().counters.unreachable > 0, { what: 'HAProxy is away' })
    await bench.haproxy.restart()
    await until(() => follower.holds('a')?.decision_id === second.decision_id, { what: 'second decision' })
    expect(Math.abs((await shareOfWest(1000)) - 0.25)).toBeLessThan(0.03)

    const third = route('a', 1, second, 300)
    await world.decide(['a', third])
    await until(() => follower.health().counters.expired === 1, { what: 'expiry' })
    await follower.settled()
    expect(await weights()).toEqual({ west: 100, east: 100 })
    await sender.flushed()
    const acks = (await world.readAcks()).map((a) => [a.decision_id, a.state])
    expect(acks).toEqual([
      [first.decision_id, 'applied'],
      [second.decision_id, 'warming'],
      [second.decision_id, 'applied'],
      [third.decision_id, 'applied'],
      [third.decision_id, 'expired'],
    ])
    await stop()
  })

  test('Kafka away: what was decided goes on standing until it expires', async () => {
    const world = await createRouteWorld(broker, codec)
    await world.decide(['a', route('a', 0.75, null, 1500)])
    const own = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'cut-off' })
    const { follower, stop } = follow(world, createBrokerSource(own, world.routes, world.decode))
    await follower.start()
    await follower.caughtUp()
    await own.close()
    expect(await weights()).toEqual({ west: 192, east: 64 })
    await until(() => follower.health().counters.expired === 1, { what: 'expiry' })
    await follower.settled()
    expect(await weights()).toEqual({ west: 100, east: 100 })
    await stop()
  })
})
