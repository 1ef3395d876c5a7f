import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Ack, RouteBody, ShardBody } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { makeDecision } from '#core/decisions'
import { type Broker, type Decision, mulberry32, systemClock } from '#core/ports'
import { type DataPlaneOptions, startDataPlane } from '../../../jobs/demo/data-plane.ts'
import { demoNetwork } from '../../../jobs/demo/scenario.ts'
import { createNetwork } from '../../../pipelines/traffic-routing/network.ts'
import { haproxyMissing } from '../../infra/haproxy/bench.ts'
import { failOnLeaks } from '../../support/leaks.ts'
import { until } from '../../support/until.ts'
import { decodeAs, eachRecord, memoryWorld } from './pipeline.ts'

failOnLeaks()

const PREFIX = 'demo-1.'
const ROUTES = 'decisions.traffic.routes'
const SHARDS = 'decisions.traffic.shards'
const demo = demoNetwork()
const network = createNetwork(demo.links, demo.pairs)
const random = mulberry32(5)
let dataDir = ''
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'data-plane-'))
})
afterAll(() => rm(dataDir, { recursive: true }))

function decision<Body>(entity: string, body: Body, previous: Decision<Body> | null = null, replayId = 'r1') {
  return makeDecision<Body>({
    subsystem: 'traffic-routing',
    entity,
    body,
    previous,
    issuedAtMs: systemClock.nowMs(),
    lifeMs: 600_000,
    mode: 'apply',
    replayId,
    reason: { risk: 0.4, drivers: ['test'], q10: 1, q50: 2, q90: 3, cost_now: 2, cost_after: 1 },
    inputs: [],
    modelVersion: 'm1',
    policyVersion: 'p1',
    random,
  })
}

function routes(stream: string, shares: Record<string, number>): RouteBody {
  const paths = Object.entries(shares).map(([region, weight]) => ({
    path_id: `${stream}@${region}`,
    region,
    weight,
  }))
  return { stream, paths, assignments: [], region_owner: '' }
}

function shards(stream: string, depth: number): ShardBody {
  return {
    stream,
    shards: Array.from({ length: 2 ** depth }, (_, prefix) => ({
      shard_id: `${stream}/${depth}/${prefix}`,
      depth,
      prefix,
      share: 2 ** -depth,
      priority: 1,
      critical: prefix === 0,
      min_regions: 1,
    })),
  }
}

interface World {
  broker: Broker
  codec: RecordCodec
}

function write(
  { broker, codec }: World,
  topic: typeof ROUTES | typeof SHARDS,
  made: Decision<RouteBody> | Decision<ShardBody>,
): void {
  const record = topic === ROUTES ? 'RouteDecision' : 'ShardDecision'
  const value = codec.encode(topic, record, made)
  broker.producer().add(`${PREFIX}${topic}`, 0, systemClock.nowMs(), Buffer.from(made.entity), value)
}

async function acksOf({ broker, codec }: World): Promise<Ack[]> {
  const acks: Ack[] = []
  await eachRecord(broker, ['acks.decisions'], PREFIX, (_base, value) => {
    if (value !== null) acks.push(decodeAs(codec, 'Ack')(value))
  })
  return acks
}

async function start(over: Partial<DataPlaneOptions> = {}) {
  const world = await memoryWorld(PREFIX)
  const plane = await startDataPlane({
    ...world,
    clock: systemClock,
    network,
    demo,
    topicPrefix: PREFIX,
    replayId: 'r1',
    useHaproxy: false,
    // A day so long that it is early morning: nothing out of the ordinary happens.
    dayMs: 1e15,
    ...over,
  })
  onTestFinished(() => plane.stop())
  return { world, plane }
}

describe('without HAProxy', () => {
  test('decisions of routes and shards are in force and acknowledged; decisions of another replay are refused', async () => {
    const { world, plane } = await start()
    write(world, ROUTES, decision('paris>web', routes('paris>web', { 'us-east': 1 })))
    write(world, ROUTES, decision('paris>api', routes('paris>api', { 'us-east': 1 }), null, 'other'))
    write(world, SHARDS, decision('paris>web', shards('paris>web', 3)))
    await plane.settled()
    expect(plane.route('paris>web', 7)).toMatchObject({ region: 'us-east', path: 'paris>web@us-east' })
    expect(plane.route('paris>api', 7)).toMatchObject({ region: 'eu-west', decisionId: '' })
    expect(plane.shards()).toBe(8)
    const acks = (await acksOf(world)).map((a) => `${a.follower} ${a.decision_topic} ${a.entity} ${a.state}`)
    expect(acks.toSorted()).toEqual([
      `sdk ${PREFIX}${ROUTES} paris>api rejected`,
      `sdk ${PREFIX}${ROUTES} paris>web applied`,
      `sdk-shards ${PREFIX}${SHARDS} paris>web applied`,
    ])
    expect(plane.followers()).toMatchObject([
      { id: 'sdk', state: 'live', held: 1, lastAckAtMs: expect.any(Number) },
      { id: 'sdk-shards', state: 'live', held: 1, lastAckAtMs: expect.any(Number) },
    ])
    expect(plane.parts()).toMatchObject([
      { state: 'ready', detail: '12 streams, 8 shards' },
      { name: 'haproxy', state: 'absent', detail: 'switched off' },
    ])
  })

  test('the load of a region follows the routes', async () => {
    const { world, plane } = await start()
    const home = plane.loadOf('eu-west')
    expect(home).toBeGreaterThan(0)
    expect(plane.loadOf('eu-north')).toBe(0)
    for (const { name, site } of demo.streams)
      if (site === 'paris') write(world, ROUTES, decision(name, routes(name, { 'eu-north': 1 })))
    await plane.settled()
    await until(() => plane.loadOf('eu-west') === 0)
    expect(plane.loadOf('eu-north')).toBeGreaterThan(0.5 * home)
  })

  test('shards that are none are refused', async () => {
    const { world, plane } = await start()
    const body = shards('paris>web', 1)
    const broken = { ...body, shards: body.shards.map((s) => ({ ...s, prefix: s.prefix + 1 })) }
    write(world, SHARDS, decision('paris>web', broken))
    write(world, SHARDS, decision('paris>api', shards('paris>web', 1)))
    await plane.settled()
    expect((await acksOf(world)).map((a) => a.state)).toEqual(['rejected', 'rejected'])
    expect(plane.shards()).toBe(0)
  })

  test('a restart stands on the snapshot', async () => {
    const { world, plane } = await start({ dataDir })
    write(world, ROUTES, decision('paris>web', routes('paris>web', { 'us-east': 1 })))
    await plane.settled()
    await plane.stop()
    const again = await startDataPlane({
      ...(await memoryWorld(PREFIX)),
      clock: systemClock,
      network,
      demo: null,
      topicPrefix: PREFIX,
      replayId: 'r1',
      useHaproxy: 'auto',
      dataDir,
    })
    onTestFinished(() => again.stop())
    expect(again.route('paris>web', 7).region).toBe('us-east')
    expect(again.haproxyAbsent).toBe('a recording has no servers')
    expect(again.loadOf('eu-west')).toBe(0)
  })
})

const missing = haproxyMissing()

describe.skipIf(missing !== '')(`with HAProxy ${missing}`, () => {
  test('requests follow the weights of decisions, and a stop leaves nothing behind', async () => {
    const { world, plane } = await start({ useHaproxy: 'auto', requestsPerSecond: 400 })
    expect(plane.haproxyAbsent).toBe('')
    await until(() => (plane.requests()?.answered ?? 0) > 100)
    const before = plane.requests()?.byRegion ?? {}
    // By default everything is served at home, and nobody lives in the north.
    expect(Object.keys(before).toSorted()).toEqual(['ap-south', 'eu-west', 'us-east'])
    for (const { name } of demo.streams)
      write(world, ROUTES, decision(name, routes(name, { 'eu-north': 0.75, 'us-east': 0.25 })))
    await plane.settled()
    const acks = (await acksOf(world)).filter((a) => a.follower === 'haproxy')
    expect(acks.map((a) => a.state)).toEqual(Array.from(demo.streams, () => 'applied'))
    expect(acks[0]?.observed).toMatchObject({ 'weight:eu-north': '192', 'weight:us-east': '64' })
    const changed = plane.requests()?.answered ?? 0
    await until(() => (plane.requests()?.answered ?? 0) > changed + 1100, { what: '1,100 requests' })
    const { recentShares, failed, sent, latencyMs } = plane.requests() ?? {}
    expect(recentShares?.['eu-north']).toBeCloseTo(0.75, 1)
    expect((recentShares?.['eu-north'] ?? 0) + (recentShares?.['us-east'] ?? 0)).toBeCloseTo(1, 5)
    expect(failed).toBeLessThan(0.02 * (sent ?? 0))
    expect(latencyMs?.p99).toBeGreaterThan(0)
    expect(plane.parts()[1]).toMatchObject({
      name: 'haproxy',
      state: 'ready',
      detail: expect.stringContaining('eu-north'),
    })
    expect(plane.haproxyPort('paris>web')).toBeGreaterThan(0)
  })
})
