import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createCodec } from '#core/codec'
import { type Broker, mulberry32, systemClock } from '#core/ports'
import {
  createRecordReaders,
  createWorker,
  END_OF_INPUT_MS,
  internalTopics,
  markHeaders,
  type Worker,
} from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { type Flow, topicName, topicSpec } from '#schemas'
import { createNetwork, featuresTopology, trafficConfig } from '#traffic-routing'
import { readTopic } from '../../jobs/demo/topic-reader.ts'
import { demoNetwork } from '../../jobs/demo/scenario.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const WINDOW_MS = 1000
const RECORDS = 6000
const PER_WINDOW = 400
const LETTERS = ['dlq.telemetry.flows', 'dlq.telemetry.regions']
const prefix = `${uniqueName('rt')}.`
const name = (topic: string) => topicName(topic, prefix)
const demo = demoNetwork()
const topology = featuresTopology(
  trafficConfig({
    network: createNetwork(demo.links, demo.pairs),
    windowMs: WINDOW_MS,
    graceMs: 200,
    idleMs: 60_000,
  }),
)
let broker: Broker
let partitions: number

beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: prefix })
  const used = ['telemetry.flows', 'telemetry.regions', 'features.streams', 'features.regions', ...LETTERS]
  const specs = [...used, 'audit.offsets'].map((topic) => topicSpec(topic, { prefix }))
  const admin = broker.admin()
  const internal = internalTopics(topology, () => 1).map((t) => ({
    name: name(t.name),
    partitions: t.partitions,
  }))
  await admin.ensureTopics([...specs, ...internal])
  partitions = (await admin.partitions([name('telemetry.flows')])).get(name('telemetry.flows')) ?? 0
  await admin.close()
})
afterAll(async () => {
  await broker.close()
})

const codec = createCodec(createRegistryClient({ url: inject('registryUrl') }))

/** Nothing goes wrong here: what a worker warns of is a failure of the test. */
const troubles: Error[] = []

function launch(): Worker {
  return createWorker({
    topology,
    broker,
    prefix,
    encoder: codec,
    readers: createRecordReaders(codec),
    slot: 'w0',
    clock: systemClock,
    commitIntervalMs: 20,
    onFatal: (error) => troubles.push(error),
    onWarning: (error) => troubles.push(error),
  })
}

function flows(): Flow[] {
  const random = mulberry32(7)
  const startMs = Date.UTC(2026, 0, 5)
  return Array.from({ length: RECORDS }, (_, i) => ({
    event_time_ms: startMs + Math.floor((i * WINDOW_MS) / PER_WINDOW) - (random.uint32() % 100),
    origin: 'test',
    stream: demo.streams[random.uint32() % demo.streams.length]?.name ?? '',
    bytes: random.uint32() % 100_000,
    packets: 1 + (random.uint32() % 50),
    protocol: 6,
    src_port: 0,
    dst_port: 443,
    flow_hash: random.uint32(),
    duration_ms: 1,
    src_addr: '10.0.0.1',
    dst_addr: '10.0.0.2',
    src_region: 'x',
    dst_region: 'y',
    sampling_rate: 1,
  }))
}

/** `stream@start records bytes` of every window, computed the plain way. */
function offline(all: readonly Flow[]): string[] {
  const windows = new Map<string, [number, number]>()
  for (const { stream, event_time_ms, bytes } of all) {
    const key = `${stream}@${Math.floor(event_time_ms / WINDOW_MS) * WINDOW_MS}`
    const [records, sum] = windows.get(key) ?? [0, 0]
    windows.set(key, [records + 1, sum + bytes])
  }
  return [...windows].map(([key, counts]) => `${key} ${counts.join(' ')}`).sort()
}

async function committed(): Promise<number> {
  const topic = name('telemetry.flows')
  const all = Array.from({ length: partitions }, (_, partition) => ({ topic, partition }))
  const admin = broker.admin()
  const offsets = await admin.committed(`${prefix}${topology.name}`, all)
  await admin.close()
  return offsets.reduce((sum, { offset }) => sum + Math.max(0, offset), 0)
}

test('flows become features, and a restart in the middle with windows open changes no window', async () => {
  await codec.prepare([
    { topic: 'telemetry.flows', record: 'Flow' },
    { topic: 'features.streams', record: 'StreamFeature' },
    { topic: 'features.regions', record: 'RegionFeature' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
    ...LETTERS.map((topic) => ({ topic, record: 'DeadLetter' as const })),
  ])
  const all = flows()
  const producer = broker.producer()
  const send = async (some: readonly Flow[]) => {
    for (const [i, f] of some.entries())
      producer.add(
        name('telemetry.flows'),
        i % partitions,
        f.event_time_ms,
        null,
        codec.encode('telemetry.flows', 'Flow', f),
      )
    await producer.flush()
  }
  const first = launch()
  await first.start()
  await send(all.slice(0, RECORDS / 2))
  const half = async () => {
    for (const trouble of troubles) throw trouble
    return (await committed()) >= RECORDS / 2
  }
  await until(half, { what: 'the first half is committed' })
  await first.stop()
  expect(troubles).toEqual([])

  const second = launch()
  await second.start()
  await send(all.slice(RECORDS / 2))
  const end = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
  for (let p = 0; p < partitions; p++)
    producer.add(name('telemetry.flows'), p, all.at(-1)!.event_time_ms, null, null, end)
  await producer.close()
  const merges = () => second.tasks().filter((task) => task.id.includes('/streams:merge/'))
  await until(() => merges().length > 0 && merges().every((task) => task.watermarkMs >= END_OF_INPUT_MS))
  await second.stop()
  expect(troubles).toEqual([])

  const found: string[] = []
  await readTopic(broker, codec, name('features.streams'), 'StreamFeature', (row) => {
    found.push(`${row.stream}@${row.window_start_ms} ${row.records} ${row.bytes}`)
    expect(row.incomplete).toBe(false)
  })
  expect(found.sort()).toEqual(offline(all))
  expect(second.counters.replayed).toBeGreaterThan(0)
  expect(second.counters.replayed).toBeLessThan(PER_WINDOW * 3)
  expect(first.counters.recordsIn + second.counters.recordsIn).toBe(RECORDS)
})
