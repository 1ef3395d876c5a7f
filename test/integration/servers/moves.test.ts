import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import { systemClock } from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import type { DataMoveState } from '#schemas'
import { type OpenMover, openMover } from '../../../jobs/query-router-moves.ts'
import { queryRouterConfig } from '../../../jobs/query-router-config.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { openRouter } from '../query-router-world.ts'
import { openServers, type Servers } from './world.ts'

failOnLeaks()

const SEGMENTS = 8
let servers: Servers
beforeAll(async () => {
  servers = await openServers(2)
})
afterAll(() => servers.stop())

const TABLE = 'CREATE TABLE orders (k String, n UInt64) ENGINE = MergeTree PARTITION BY n % 3 ORDER BY k'

/** A router with a mover over both instances, and one client. */
async function openWorld(service: string, reversibleMs: number) {
  const settings = {
    segments: SEGMENTS,
    partitions: 2,
    tables: [{ database: servers.database, table: 'orders', keyColumn: 'k', keyType: 'string' as const }],
    changes: 'all' as const,
    bindSessions: false,
    ...servers.user,
  }
  const router = await openRouter(servers.list, settings, service, servers.password)
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'moves' })
  const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))
  const config = queryRouterConfig({
    service,
    instances: servers.list.map(({ name, url }) => ({ name, url })),
    ...settings,
  })
  const phases: string[] = []
  const pauses: number[] = []
  const warnings: Error[] = []
  const moves: OpenMover = await openMover({
    config,
    opened: router,
    broker,
    codec,
    clock: systemClock,
    topicPrefix: `${service}.`,
    replayId: null,
    ...servers.password,
    id: 'test',
    reversibleMs,
    onPhase: ({ phase }: DataMoveState) => phases.push(phase),
    onPause: (elapsedMs) => pauses.push(elapsedMs),
    onWarning: (error) => warnings.push(error),
  })
  const client = servers.client(router.router.url)
  return {
    router,
    mover: moves.mover,
    client,
    phases,
    pauses,
    warnings,
    async close() {
      await client.close()
      await moves.stop()
      await router.close()
      await broker.close()
    },
  }
}

type World = Awaited<ReturnType<typeof openWorld>>

const countOf = async ({ client }: World, key: string): Promise<number> => {
  const result = await client.query({
    query: 'SELECT count() AS c, uniqExact(n) AS u FROM orders WHERE k = {k:String}',
    query_params: { k: key },
    format: 'JSONEachRow',
  })
  const [row] = await result.json<{ c: string; u: string }>()
  expect(row?.c).toBe(row?.u)
  return Number(row?.c)
}

/** Writes rows of many keys until it is stopped; gives how many there are of each. */
function startWriter({ client }: World, keys: readonly string[]) {
  const counts = new Map(keys.map((key) => [key, 0]))
  const stopping = new AbortController()
  let n = 0
  const done = (async () => {
    while (!stopping.signal.aborted) {
      const values = keys.map((k) => ({ k, n: n++ }))
      await client.insert({ table: 'orders', values, format: 'JSONEachRow' })
      for (const { k } of values) counts.set(k, (counts.get(k) as number) + 1)
    }
  })()
  return {
    counts,
    async stop() {
      stopping.abort()
      await done
    },
  }
}

test('a segment moves under inserts, back, and for good, and loses nothing', async () => {
  const world = await openWorld(uniqueName('moves'), 2500)
  try {
    await world.client.command({ query: TABLE })
    const keys = Array.from({ length: 24 }, (_, i) => `k${i}`)
    const writer = startWriter(world, keys)
    await until(() => (writer.counts.get('k0') as number) > 3, { what: 'some rows' })
    const segment = Array.from({ length: SEGMENTS }, (_, s) => s).find(
      (s) => world.mover.readers(s)[0] === 'i0',
    ) as number
    const move = { move_id: 'there', kind: 'move', from: 'i0', to: 'i1' } as const
    expect(await world.mover.move(segment, move)).toMatchObject({ phase: 'switched', attempt: 1 })
    expect(world.mover.readers(segment)).toEqual(['i1'])
    expect(world.phases).toEqual(['copying', 'joining', 'verifying', 'switched'])
    expect(await countOf(world, 'k0')).toBeGreaterThanOrEqual(4)

    const back = { move_id: 'back', kind: 'move', from: 'i1', to: 'i0' } as const
    const beganMs = performance.now()
    await world.mover.move(segment, back)
    expect(world.mover.readers(segment)).toEqual(['i0'])
    expect(performance.now() - beganMs).toBeLessThan(1000)
    await world.mover.settled()
    expect(world.mover.states().map(({ phase }) => phase)).toEqual(['reversed'])

    const copy = { move_id: 'copy', kind: 'copy', from: 'i0', to: 'i1' } as const
    expect(await world.mover.move(segment, copy)).toMatchObject({ phase: 'switched' })
    expect(world.mover.readers(segment)).toEqual(['i0', 'i1'])
    await world.mover.settled()
    const drop = { move_id: 'drop', kind: 'drop', from: 'i0', to: '' } as const
    expect(await world.mover.move(segment, drop)).toMatchObject({ phase: 'switched' })
    const last = { move_id: 'last', kind: 'drop', from: 'i1', to: '' } as const
    await world.mover.settled()
    expect(await world.mover.move(segment, last)).toMatchObject({ phase: 'failed' })
    expect(writer.counts.get('k0')).toBeGreaterThan(4)
    await writer.stop()
    for (const key of keys) expect(await countOf(world, key)).toBe(writer.counts.get(key))
    const direct = servers.client(servers.list[0]?.url as string)
    const left = await direct.query({
      query: `SELECT count() AS c FROM system.tables WHERE database = 'forestall_moves' AND name LIKE '%${servers.database}%'`,
    })
    expect((await left.json<{ c: string }>()).data.map(({ c }) => Number(c))).toEqual([0])
    await direct.close()
    expect(world.warnings).toEqual([])
  } finally {
    await world.close()
  }
}, 180_000)
