import { expect, test } from 'vitest'
import type { RecordByName, RecordName } from '#schemas'
import { createCodec, type RecordCodec } from '#core/codec'
import { manualClock, manualTimers } from '#core/ports'
import {
  createPipelineReporter,
  createQueryLogSender,
  type PipelineReport,
} from '../../../pipelines/data-sharding/dataplane.ts'
import {
  createMemoryBroker,
  type MemoryBroker,
} from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import { readTopic } from '../../../jobs/topic-reader.ts'
import { until } from '../../support/until.ts'

const PARTITIONS = 4

async function open(topic: string, record: RecordName) {
  const broker = createMemoryBroker()
  await broker.admin().ensureTopics([{ name: topic, partitions: PARTITIONS }])
  const codec = createCodec(createMemoryRegistry())
  await codec.prepare([{ topic, record }])
  const clock = manualClock(1_000_000)
  const warnings: Error[] = []
  const deps = { broker, codec, topic, partitions: PARTITIONS, service: 'orders', clock }
  return { ...deps, timers: manualTimers(clock), warnings, onWarning: (error: Error) => warnings.push(error) }
}

async function read<R extends RecordName>(
  broker: MemoryBroker,
  codec: RecordCodec,
  topic: string,
  record: R,
) {
  const found: { partition: number; value: RecordByName[R] }[] = []
  await readTopic(
    broker,
    codec,
    topic,
    record,
    (value, { partition }) => void found.push({ partition, value }),
  )
  return found
}

const QUERY = { keys: ['ann'], operation: 'SELECT ?', instance: 'i0', durationMs: 4, failed: false }

test('queries become records by key, spread over the partitions; work is shared among the keys', async () => {
  const world = await open('logs.queries', 'QueryLog')
  const log = createQueryLogSender(world)
  log.note({ ...QUERY, keys: ['ann', 'bob'], operation: `SELECT a || b ${'x '.repeat(200)}`, failed: true })
  for (let i = 0; i < 6; i++) log.note(QUERY)
  log.note({ ...QUERY, keys: [] })
  await log.flush()
  const records = await read(world.broker, world.codec, world.topic, 'QueryLog')
  expect(log.counts()).toEqual({ sent: 8, dropped: 0, keyless: 1 })
  expect(new Set(records.map(({ partition }) => partition)).size).toBe(PARTITIONS)
  const both = records.filter(({ value }) => value.failed).map(({ value }) => value)
  expect(both.map(({ entity_id: key, work }) => [key, work])).toEqual([
    ['ann', 0.5],
    ['bob', 0.5],
  ])
  expect(both[0]?.operation_id).toMatch(/^SELECT a \/\/ b x .*-[\da-f]+$/)
  for (const { value } of records) {
    expect(value.pattern).toBe(`orders|${value.operation_id}|${value.entity_id}`)
    expect(value).toMatchObject({ event_time_ms: 1_000_000 - 4, origin: 'router', instance: 'i0' })
  }
  await log.close()
})

test('the log never holds the router up: what does not fit is counted', async () => {
  const world = await open('logs.queries', 'QueryLog')
  const log = createQueryLogSender({ ...world, capacity: 10 })
  for (let i = 0; i < 15; i++) log.note(QUERY)
  expect(log.counts().dropped).toBe(5)
  world.timers.advance(100)
  await until(() => log.counts().sent === 10)
  log.note(QUERY)
  await log.close()
  expect(log.counts()).toEqual({ sent: 11, dropped: 5, keyless: 0 })
})

test('a log that Kafka refuses is said and counted as dropped', async () => {
  const world = await open('logs.queries', 'QueryLog')
  const log = createQueryLogSender({ ...world, topic: 'nowhere' })
  log.note(QUERY)
  await log.flush()
  expect(log.counts()).toMatchObject({ sent: 0, dropped: 1 })
  expect(world.warnings).toHaveLength(1)
  await log.close()
})

test('instances are reported with the work per second that they did, and what they hold', async () => {
  const world = await open('telemetry.pipelines', 'PipelineState')
  const instances: PipelineReport[] = [
    { name: 'i0', up: true, segments: [0, 17] },
    { name: 'i1', up: false, segments: [] },
  ]
  const segmentId = (s: number) => `orders/${String(s).padStart(3, '0')}`
  const reporter = createPipelineReporter({ ...world, capacity: 30, segmentId, read: () => instances })
  for (let i = 0; i < 7; i++) reporter.note('i0', 1)
  world.timers.advance(1000)
  await until(() => reporter.loads()['i0'] === 7)
  await reporter.close()
  const states = (await read(world.broker, world.codec, world.topic, 'PipelineState')).map((r) => r.value)
  const by = Object.fromEntries(states.map((state) => [state.pipeline_id, state]))
  expect(by['i0']).toMatchObject({ current_load: 7, capacity: 30, up: true, service_id: 'orders' })
  expect(by['i0']?.shard_ids).toEqual(['orders/000', 'orders/017'])
  expect(by['i1']).toMatchObject({ current_load: 0, up: false, shard_ids: [] })
})
