import { afterAll, beforeAll, expect, inject, onTestFinished, test } from 'vitest'
import { createCodec } from '#core/codec'
import { systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { queryRouterConfig } from '../../jobs/query-router-config.ts'
import { openMover } from '../../jobs/query-router-moves.ts'
import { segmentOf } from '../../pipelines/data-sharding/placement/index.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'
import { clientOf, type Instances, openRouter, startInstances } from './query-router-world.ts'

failOnLeaks()

const SEGMENTS = 8
let instances: Instances
beforeAll(async () => {
  instances = await startInstances(3)
})
afterAll(() => instances.stop())

/** A router with a mover before the first two instances. */
async function openWorld() {
  const service = uniqueName('instances')
  const settings = {
    segments: SEGMENTS,
    partitions: 2,
    tables: [{ database: 'default', table: 'orders', keyColumn: 'k', keyType: 'string' as const }],
    changes: 'all' as const,
  }
  const two = instances.list.slice(0, 2)
  const router = await openRouter(two, settings, service)
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'instances' })
  const config = queryRouterConfig({
    service,
    instances: two.map(({ name, url }) => ({ name, url })),
    ...settings,
  })
  const moving = await openMover({
    config,
    opened: router,
    broker,
    codec: createCodec(createRegistryClient({ url: inject('registryUrl') })),
    clock: systemClock,
    topicPrefix: `${service}.`,
    replayId: null,
    id: 'test',
    reversibleMs: 200,
    onWarning: () => undefined,
  })
  const client = clientOf(router.router.url)
  onTestFinished(async () => {
    await client.close()
    await moving.stop()
    await router.close()
    await broker.close()
  })
  return { router, mover: moving.mover, client }
}

async function at(instance: number, sql: string): Promise<string> {
  const answer = await fetch(instances.list[instance]?.url ?? '', { method: 'POST', body: sql })
  return (await answer.text()).trim()
}

test('an instance is added while inserts go on, gets tables and segments, answers reads, and is taken out again', async () => {
  const { router, mover, client } = await openWorld()
  await client.command({
    query:
      'CREATE TABLE orders (k String, n UInt64, double UInt64 MATERIALIZED n * 2) ENGINE = MergeTree ORDER BY k',
  })
  const keys = Array.from({ length: 24 }, (_, i) => `k${i}`)
  const counts = new Map(keys.map((key) => [key, 0]))
  const stopping = new AbortController()
  const writing = (async () => {
    for (let n = 0; !stopping.signal.aborted; n++) {
      await client.insert({ table: 'orders', values: keys.map((k) => ({ k, n })), format: 'JSONEachRow' })
      for (const key of keys) counts.set(key, n + 1)
    }
  })()
  const third = { name: 'i2', url: instances.list[2]?.url ?? '' }
  await router.add(third)
  await expect(router.add(third)).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  await until(() => router.appliers.length === 3, { what: 'the log is applied at the new instance' })
  await until(async () => (await at(2, 'SELECT count() FROM orders')) === '0', { what: 'an empty table' })
  await client.command({ query: 'ALTER TABLE orders ADD COLUMN note String' })
  expect(await at(2, "SELECT count() FROM system.columns WHERE table = 'orders' AND name = 'note'")).toBe('1')

  const segments = Array.from({ length: SEGMENTS }, (_, s) => s).filter((s) => mover.readers(s)[0] === 'i0')
  for (const segment of segments) {
    const move = { move_id: `there-${segment}`, kind: 'move', from: 'i0', to: 'i2' } as const
    expect((await mover.move(segment, move)).phase).toBe('switched')
  }
  await mover.settled()
  stopping.abort()
  await writing
  const held = keys.filter((key) => segments.includes(segmentOf(key, SEGMENTS)))
  expect(held.length).toBeGreaterThan(0)
  const number = router.instances().find(({ name }) => name === 'i2')?.number
  for (const key of keys) {
    const result = await client.query({
      query:
        'SELECT count() AS c, uniqExact(n) AS u, sum(double) = 2 * sum(n) AS same FROM orders WHERE k = {k:String}',
      query_params: { k: key },
      format: 'JSONEachRow',
    })
    const all = counts.get(key)
    expect(await result.json()).toEqual([{ c: all, u: all, same: 1 }])
  }
  for (const key of held) expect(router.placement.readable(segmentOf(key, SEGMENTS))).toEqual([number])
  expect(await at(0, 'SELECT count() FROM orders')).toBe('0')

  await expect(router.remove('i2')).rejects.toThrow(`holds ${segments.length} segments: move them first`)
  await expect(router.remove('nobody')).rejects.toMatchObject({ code: 'NOT_FOUND' })
  for (const segment of segments)
    await mover.move(segment, { move_id: `away-${segment}`, kind: 'move', from: 'i2', to: 'i1' })
  await mover.settled()
  await router.remove('i2')
  expect(router.instances().map(({ name }) => name)).toEqual(['i0', 'i1'])
  await client.insert({
    table: 'orders',
    values: keys.map((k) => ({ k, n: 1_000_000 })),
    format: 'JSONEachRow',
  })
  expect(await at(2, 'SELECT count() FROM orders')).toBe('0')
  const [one, two] = await Promise.all([
    at(0, 'SELECT count() FROM orders'),
    at(1, 'SELECT count() FROM orders'),
  ])
  expect(Number(one) + Number(two)).toBe([...counts.values()].reduce((a, b) => a + b + 1, 0))

  // A view would keep what has left, and miss what came.
  await at(0, 'CREATE MATERIALIZED VIEW sums ENGINE = SummingMergeTree ORDER BY k AS SELECT k, n FROM orders')
  const back = { move_id: 'back', kind: 'move', from: 'i1', to: 'i0' } as const
  await expect(mover.move(segments[0] ?? 0, back)).rejects.toMatchObject({
    code: 'DATA_PLANE_REFUSED',
    message: expect.stringContaining('default.sums'),
  })
}, 120_000)
