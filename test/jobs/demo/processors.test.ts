import { afterEach, expect, test } from 'vitest'
import { type Flow, TOPICS, topicSpec } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { makeDecision } from '#core/decisions'
import { type Broker, mulberry32, systemClock } from '#core/ports'
import { auditProcessed } from '../../../jobs/demo/audit-processed.ts'
import { OFFSET_HEADER, type RunningProcessors, startProcessors } from '../../../jobs/demo/processors.ts'
import { createMemoryBroker } from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import { until } from '../../support/until.ts'
import { flowOf } from '../../traffic-routing/chain.ts'

const PREFIX = 'demo-1.'
const REGIONS = ['eu-west', 'us-east', 'ap-south']
const STREAMS = ['a>web', 'b>web', 'c>web', 'd>web']
const PARTITIONS = 4

let running: RunningProcessors | null = null
let world: World | null = null
afterEach(async () => {
  await running?.stop()
  await world?.broker.close()
  running = null
})

interface World {
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly warnings: Error[]
  /** Sends flows, dealt over streams and partitions. */
  readonly send: (count: number) => Promise<void>
  readonly decide: (stream: string, owner: string, replayId?: string) => Promise<void>
  readonly start: () => Promise<RunningProcessors>
}

async function newWorld(): Promise<World> {
  const broker = createMemoryBroker().connect()
  const codec = createCodec(createMemoryRegistry())
  const admin = broker.admin()
  await admin.ensureTopics(TOPICS.map(({ name }) => topicSpec(name, { prefix: PREFIX })))
  await admin.close()
  await codec.prepare([
    { topic: 'telemetry.flows', record: 'Flow' },
    { topic: 'decisions.traffic.routes', record: 'RouteDecision' },
  ])
  const warnings: Error[] = []
  const random = mulberry32(3)
  const producer = broker.producer()
  let epoch = 0
  let sent = 0
  const made: World = {
    broker,
    codec,
    warnings,
    async send(count) {
      for (let i = 0; i < count; i++, sent++) {
        const value: Flow = flowOf({ stream: STREAMS[sent % STREAMS.length] as string, bytes: sent })
        const bytes = codec.encode('telemetry.flows', 'Flow', value)
        const partition = (sent + Math.floor(sent / STREAMS.length)) % PARTITIONS
        producer.add(`${PREFIX}telemetry.flows`, partition, systemClock.nowMs(), null, bytes)
      }
      await producer.flush()
    },
    async decide(stream, owner, replayId = 'demo-1') {
      const decision = makeDecision({
        subsystem: 'traffic-routing',
        entity: stream,
        body: { stream, paths: [], assignments: [], region_owner: owner },
        previous: null,
        lastEpoch: ++epoch,
        issuedAtMs: epoch,
        lifeMs: 60_000,
        mode: 'apply',
        replayId,
        reason: { risk: 0, drivers: [], q10: 0, q50: 0, q90: 0, cost_now: 1, cost_after: 0 },
        inputs: [],
        modelVersion: '1',
        policyVersion: '1',
        random,
      })
      const value = codec.encode('decisions.traffic.routes', 'RouteDecision', decision)
      const topic = `${PREFIX}decisions.traffic.routes`
      producer.add(topic, 0, systemClock.nowMs(), Buffer.from(stream), value)
      await producer.flush()
    },
    async start() {
      running = await startProcessors({
        broker,
        codec,
        clock: systemClock,
        regions: REGIONS,
        defaultRegion: 'eu-west',
        topicPrefix: PREFIX,
        replayId: 'demo-1',
        commitIntervalMs: 5,
        onWarning: (error) => warnings.push(error),
      })
      return running
    },
  }
  world = made
  return made
}

const taken = (r: RunningProcessors): number => r.status().reduce((sum, s) => sum + s.health.takenOver, 0)

test('through handovers each flow is processed by exactly one region, once', async () => {
  const { broker, codec, warnings, send, decide, start } = await newWorld()
  const processors = await start()
  await send(400)
  for (let round = 0; round < 6; round++) {
    await decide(STREAMS[round % 4] as string, REGIONS[(round + 1) % 3] as string)
    await send(200)
  }
  await until(() => taken(processors) >= 4, { what: 'streams are taken over' })
  expect(await processors.drained()).toBe(true)
  await processors.stop()
  const account = await auditProcessed(broker, codec, PREFIX)
  expect(account).toMatchObject({ flows: 1600, once: 1600, lost: 0, duplicated: 0, strange: 0, details: [] })
  expect(Object.keys(account.byRegion).length).toBeGreaterThan(1)
  expect(warnings).toEqual([])
})

test('processors that start again go on where they were', async () => {
  const { broker, codec, send, decide, start } = await newWorld()
  const first = await start()
  await send(100)
  await decide('a>web', 'us-east')
  await until(() => taken(first) === 1)
  expect(await first.drained()).toBe(true)
  await first.stop()
  await send(100)
  const second = await start()
  expect(await second.drained()).toBe(true)
  await second.stop()
  const account = await auditProcessed(broker, codec, PREFIX)
  expect(account).toMatchObject({ flows: 200, once: 200, lost: 0, duplicated: 0, strange: 0 })
  // a>web was one flow in four, and its second half went through its new region.
  expect(account.byRegion['us-east']).toBeGreaterThanOrEqual(25)
})

test('a decision of another replay moves nothing, and is told of', async () => {
  const { decide, start, warnings } = await newWorld()
  const processors = await start()
  await decide('a>web', 'us-east', 'demo-2')
  await until(() => warnings.length > 0)
  expect(warnings[0]).toMatchObject({ code: 'POLICY_CONTRADICTS' })
  expect(taken(processors)).toBe(0)
})

test('the audit names what is lost, doubled and strange', async () => {
  const { broker, codec, send } = await newWorld()
  await send(8)
  const producer = broker.producer()
  const output = (partition: number, offset: string | null, region: string) =>
    producer.add(`${PREFIX}processed.traffic`, partition, 0, null, Buffer.from('x'), [
      ['forestall.region', Buffer.from(region)],
      ...(offset === null ? [] : [[OFFSET_HEADER, Buffer.from(offset)] as const]),
    ])
  // 8 flows in 4 partitions: offsets 0 and 1 of each.
  for (const partition of [0, 1, 2, 3]) output(partition, '0', 'eu-west')
  output(0, '1', 'eu-west')
  output(0, '1', 'us-east')
  output(1, '7', 'eu-west')
  output(2, null, 'eu-west')
  await producer.flush()
  const account = await auditProcessed(broker, codec, PREFIX)
  expect(account).toMatchObject({ flows: 8, once: 4, lost: 3, duplicated: 1, strange: 2 })
  expect(account.byRegion).toEqual({ 'eu-west': 7, 'us-east': 1 })
  expect(account.details.length).toBeGreaterThan(0)
})

test('what cannot be drained in time says so', async () => {
  const { send, start } = await newWorld()
  const processors = await start()
  await processors.stop()
  await send(4)
  expect(await processors.drained(1)).toBe(false)
})
