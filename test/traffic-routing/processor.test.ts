import { afterEach, expect, test } from 'vitest'
import type { Ack } from '#schemas'
import { type Broker, mulberry32, systemClock } from '#core/ports'
// The runtime's test kit is not part of its index.
import {
  createMemoryBroker,
  type MemoryBroker,
  type MemoryClient,
} from '../../pipelines/core/runtime/testing/memory-broker.ts'
import type { Processor } from '../../pipelines/traffic-routing/dataplane.ts'
import { until } from '../support/until.ts'
import {
  benchProcessor,
  createTopics,
  faultsOf,
  owned,
  PARTITIONS,
  readAll,
  REGIONS,
  topicsOf,
} from './handover-bench.ts'

const topics = topicsOf('t')
const STREAMS = ['s0', 's1', 's2', 's3']
const running = new Map<string, { client: MemoryClient; processor: Processor }>()

afterEach(async () => {
  for (const { processor, client } of running.values()) {
    await processor.stop()
    await client.close()
  }
  running.clear()
})

async function run(broker: MemoryBroker, region: string): Promise<Processor> {
  const client = broker.connect()
  const processor = benchProcessor(client, topics, region)
  running.set(region, { client, processor })
  await processor.start()
  return processor
}

function write(
  broker: Broker,
  topic: string,
  rows: [key: string, value: string | null, partition?: number][],
): void {
  const producer = broker.producer()
  for (const [key, value, partition = 0] of rows) {
    const bytes = value === null ? null : Buffer.from(value)
    producer.add(topic, partition, systemClock.nowMs(), Buffer.from(key), bytes)
  }
}

async function newWorld(): Promise<MemoryBroker> {
  const broker = createMemoryBroker()
  await createTopics(broker, topics)
  return broker
}

const decideOwner = (broker: Broker, stream: string, owner: string, epoch: number): void =>
  write(broker, topics.decisions, [[stream, JSON.stringify(owned(stream, owner, epoch))]])

const acksOf = async (broker: Broker): Promise<Ack[]> =>
  (await readAll(broker, topics.acks, 1)).map((seen) => JSON.parse(seen.value) as Ack)

test('a stream is handed over at a fence that is reported, and each record is processed by one region', async () => {
  const broker = await newWorld()
  const input = Array.from({ length: 40 }, (_, i) => `s0/${i}`)
  await run(broker, 'west')
  await run(broker, 'east')
  write(
    broker,
    topics.input,
    input.slice(0, 20).map((v, i) => ['k', v, i % 2]),
  )
  await until(async () => (await readAll(broker, topics.output, PARTITIONS)).length === 20)
  decideOwner(broker, 's0', 'east', 1000)
  await until(async () => (await acksOf(broker)).length === 2, { what: 'both acks' })
  write(
    broker,
    topics.input,
    input.slice(20).map((v, i) => ['k', v, i % 2]),
  )
  await until(async () => (await readAll(broker, topics.output, PARTITIONS)).length >= 40)
  const output = await readAll(broker, topics.output, PARTITIONS)
  expect(faultsOf(input, output)).toEqual([])
  expect(
    output
      .filter((o) => o.region === 'east')
      .map((o) => o.value)
      .sort(),
  ).toEqual(input.slice(20).sort())
  expect(await acksOf(broker)).toMatchObject([
    {
      decision_id: 's0-1000',
      follower: 'processor/west',
      state: 'applied',
      observed: { role: 'stopped', to: 'east', 'fence:t.flows:0': '10', 'fence:t.flows:1': '10' },
    },
    {
      follower: 'processor/east',
      observed: { role: 'started', 'start:t.flows:0': '10', 'start:t.flows:1': '10' },
    },
  ])
})

test('a region that is down does not lose the stream: it goes on where the fence is once it is back', async () => {
  const broker = await newWorld()
  await run(broker, 'west')
  const input = Array.from({ length: 60 }, (_, i) => `s1/${i}`)
  write(
    broker,
    topics.input,
    input.slice(0, 20).map((v) => ['k', v]),
  )
  decideOwner(broker, 's1', 'east', 1000)
  await until(async () => (await acksOf(broker)).some((a) => a.observed['role'] === 'stopped'))
  write(
    broker,
    topics.input,
    input.slice(20, 40).map((v) => ['k', v]),
  )
  await run(broker, 'east')
  write(
    broker,
    topics.input,
    input.slice(40).map((v) => ['k', v]),
  )
  await until(async () => (await readAll(broker, topics.output, PARTITIONS)).length >= 60)
  expect(faultsOf(input, await readAll(broker, topics.output, PARTITIONS))).toEqual([])
})

test('a tombstone brings a stream home; dry runs, canaries and unknown regions move nothing', async () => {
  const broker = await newWorld()
  const west = await run(broker, 'west')
  const east = await run(broker, 'east')
  decideOwner(broker, 's0', 'east', 1000)
  await until(() => east.health().takenOver === 1)
  const others = [
    { ...owned('s1', 'east', 1001), mode: 'dry_run' as const },
    { ...owned('s1', 'east', 1002), mode: 'canary' as const },
    { ...owned('s1', 'nowhere', 1003) },
    { ...owned('s1', 'east', 1004), replay_id: '2004' },
    { ...owned('s1', '', 1005) },
    { ...owned('s1', 'east', 1006), not_before_ms: systemClock.nowMs() + 3_600_000 },
  ]
  for (const d of others) write(broker, topics.decisions, [['s1', JSON.stringify(d)]])
  write(broker, topics.decisions, [['s0', null]])
  await until(() => west.health().takenOver === 1)
  const input = ['s0/0', 's1/1']
  write(
    broker,
    topics.input,
    input.map((v) => ['k', v]),
  )
  await until(async () => (await readAll(broker, topics.output, PARTITIONS)).length === 2)
  const output = await readAll(broker, topics.output, PARTITIONS)
  expect(output.map((o) => o.region)).toEqual(['west', 'west'])
  expect(east.health()).toMatchObject({ handedOver: 1, processed: 0 })
})

test('a second process of a region fences the first, which says so', async () => {
  const broker = await newWorld()
  const first = await run(broker, 'west')
  const { client } = running.get('west') as { client: MemoryClient }
  await run(broker, 'west')
  write(broker, topics.input, [['k', 's0/0']])
  await expect(first.done).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
  await client.close()
  await until(async () => (await readAll(broker, topics.output, PARTITIONS)).length === 1)
})

/** What is wrong with the output after random records, decisions and kills. */
async function storm(seed: number): Promise<string[]> {
  const random = mulberry32(seed)
  const pick = <T>(from: readonly T[]): T => from[random.uint32() % from.length] as T
  const broker = await newWorld()
  for (const region of REGIONS) await run(broker, region)
  const input: string[] = []
  for (let i = 0; i < 120; i++) {
    const rows = Array.from({ length: 1 + (random.uint32() % 8) }, () => {
      input.push(`${pick(STREAMS)}/${input.length}`)
      return ['k', input.at(-1) as string, random.uint32() % PARTITIONS] as [string, string, number]
    })
    write(broker, topics.input, rows)
    // Two decisions at once now and then: A to B to C before anybody has moved.
    for (let n = random.uint32() % 3; n > 1; n--)
      decideOwner(broker, pick(STREAMS), pick(REGIONS), 1000 + 10 * i + n)
    if (random.uniform() < 0.1) write(broker, topics.decisions, [[pick(STREAMS), null]])
    if (random.uniform() < 0.15) {
      const region = pick(REGIONS)
      running.get(region)?.client.kill()
      await run(broker, region)
    }
    if (random.uniform() < 0.3) await new Promise((resolve) => setImmediate(resolve))
  }
  await until(async () => (await readAll(broker, topics.output, PARTITIONS)).length >= input.length, {
    what: 'all records processed',
  })
  return faultsOf(input, await readAll(broker, topics.output, PARTITIONS))
}

test.for([1, 2, 3, 4, 5, 6, 7, 8])('each record once through kills and handovers, storm %i', async (seed) => {
  expect(await storm(seed)).toEqual([])
})
