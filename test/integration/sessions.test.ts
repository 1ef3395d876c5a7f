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
import { type Flow, topicName, topicSpec } from '#schemas'
import { readTopic } from '../../jobs/demo/topic-reader.ts'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { flow } from '../core/runtime/fixtures.ts'
import { flowSessions, plainSessions, sessionLines, type Shape } from '../core/runtime/sessions-case.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const SHAPE: Shape = { gapMs: 1000, graceMs: 300, maxLengthMs: 5000 }
const RECORDS = 4000
const START_MS = Date.UTC(2026, 0, 5)
const INPUT = 'telemetry.flows'
const OUTPUT = 'features.streams'
const LETTERS = `dlq.${INPUT}`
const topology = flowSessions(SHAPE, 2)
const prefix = `${uniqueName('sessions')}.`
const name = (topic: string) => topicName(topic, prefix)
const codec = createCodec(createMemoryRegistry())
const troubles: Error[] = []
let broker: Broker
let partitions: number

beforeAll(async () => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: prefix })
  const admin = broker.admin()
  const internal = internalTopics(topology, () => 1)
  await admin.ensureTopics([
    ...[INPUT, OUTPUT, LETTERS, 'audit.offsets'].map((topic) => topicSpec(topic, { prefix })),
    ...internal.map((topic) => ({ name: name(topic.name), partitions: topic.partitions })),
  ])
  partitions = (await admin.partitions([name(INPUT)])).get(name(INPUT)) ?? 0
  await admin.close()
  await codec.prepare([
    { topic: INPUT, record: 'Flow' },
    { topic: OUTPUT, record: 'StreamFeature' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
    { topic: LETTERS, record: 'DeadLetter' },
  ])
})
afterAll(async () => {
  await broker.close()
})

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

/** Keys that are busy all the time, and others with pauses; up to a quarter of a second out of order. */
function flows(): Flow[] {
  const random = mulberry32(5)
  return Array.from({ length: RECORDS }, (_, i) => {
    const at = START_MS + i * 10 - (random.uint32() % 250)
    const key = random.uint32() % 4 === 0 ? random.uint32() % 3 : 3 + (random.uint32() % 40)
    return flow(at, `s${key}`, random.uint32() % 1000, random.uint32() % 9)
  })
}

async function committed(): Promise<number> {
  const admin = broker.admin()
  const all = Array.from({ length: partitions }, (_, partition) => ({ topic: name(INPUT), partition }))
  const offsets = await admin.committed(`${prefix}${topology.name}`, all)
  await admin.close()
  return offsets.reduce((sum, { offset }) => sum + Math.max(0, offset), 0)
}

test('sessions over all partitions are those computed offline, also after a restart with sessions open', async () => {
  const all = flows()
  const producer = broker.producer()
  const send = async (from: number, to: number) => {
    for (let i = from; i < to; i++) {
      const f = all[i] as Flow
      producer.add(name(INPUT), i % partitions, f.event_time_ms, null, codec.encode(INPUT, 'Flow', f))
    }
    await producer.flush()
  }
  const first = launch()
  await first.start()
  await send(0, RECORDS / 2)
  await until(async () => (await committed()) >= RECORDS / 2, { what: 'the first half is committed' })
  await first.stop()
  const second = launch()
  await second.start()
  await send(RECORDS / 2, RECORDS)
  const end = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
  for (let p = 0; p < partitions; p++) producer.add(name(INPUT), p, START_MS + RECORDS * 10, null, null, end)
  await producer.close()
  const merges = () => second.tasks().filter((task) => task.id.includes(':merge/'))
  await until(() => merges().length > 0 && merges().every((task) => task.watermarkMs >= END_OF_INPUT_MS))
  await second.stop()
  expect(troubles).toEqual([])

  const rows: Parameters<typeof sessionLines>[0][number][] = []
  await readTopic(broker, codec, name(OUTPUT), 'StreamFeature', (row) => void rows.push(row))
  expect(sessionLines(rows)).toEqual(plainSessions(all, SHAPE))
  expect(
    rows.filter((row) => row.window_end_ms - row.window_start_ms > SHAPE.maxLengthMs / 2).length,
  ).toBeGreaterThan(10)
  expect(second.counters.replayed).toBeGreaterThan(0)
  expect(first.counters.recordsIn + second.counters.recordsIn).toBe(RECORDS)
})
