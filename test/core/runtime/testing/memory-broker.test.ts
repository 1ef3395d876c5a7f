import { expect, test } from 'vitest'
import { isError } from '#core/ports'
import { createMemoryBroker } from '../../../../pipelines/core/runtime/testing/memory-broker.ts'
import {
  bytes,
  createTopic,
  join,
  partitionsOf,
  readAll,
  values,
  write,
} from '../../../conformance/broker/bench.ts'

// What every broker does is in test/conformance/broker.test.ts; this is what tests can do to this one.

test('a killed process keeps its partitions and its open transaction until they expire', async () => {
  const broker = createMemoryBroker()
  const topic = await createTopic(broker, 2)
  const [doomed, other] = [broker.connect(), broker.connect()]
  const killed = await join(doomed, { groupId: 'g', topics: [topic] })
  const survivor = await join(other, { groupId: 'g', topics: [topic] })
  const producer = doomed.transactionalProducer({ transactionalId: 't' })
  await producer.init()
  producer.add(topic, 0, 1, null, bytes('void'))
  await producer.sendOffsets('g', killed.assignments.at(-1) ?? survivor.assignments[0]!, [
    { topic, partition: 0, offset: 1, metadata: '' },
  ])
  doomed.kill()
  await write(broker, topic, 0, ['behind the open transaction'])
  await write(broker, topic, 1, ['x'])
  expect(values(await survivor.saw(1))).toEqual(['x'])
  expect(survivor.assignments).toHaveLength(1)
  expect(await readAll(broker, topic)).toEqual([])
  await broker.expire()
  expect(survivor.assignments.at(-1)?.partitions.map((p) => [p.partition, p.offset])).toEqual([
    [0, -1],
    [1, -1],
  ])
  expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['behind the open transaction'])
  expect(killed.events).toEqual(['assigned 2', 'revoked', 'assigned 1'])
})

test('the same instance takes over from a killed process at once, and its producer aborts what was open', async () => {
  const broker = createMemoryBroker()
  const topic = await createTopic(broker)
  const doomed = broker.connect()
  const options = { groupId: 'g', topics: [topic], groupInstanceId: 'slot-0' }
  const killed = await join(doomed, options)
  const producer = doomed.transactionalProducer({ transactionalId: 't' })
  await producer.init()
  const assignment = await killed.assigned()
  await producer.sendOffsets('g', assignment, [{ topic, partition: 0, offset: 9, metadata: '' }])
  doomed.kill()
  const next = broker.connect()
  const newer = next.transactionalProducer({ transactionalId: 't' })
  await newer.init()
  const replacement = await join(next, options)
  expect((await replacement.assigned()).partitions).toEqual([
    { topic, partition: 0, offset: -1, metadata: '' },
  ])
  await expect(producer.commit()).rejects.toMatchObject({ code: 'PRODUCER_FENCED' })
})

test('records below a trimmed offset are gone, and readers that need them are told', async () => {
  const broker = createMemoryBroker()
  const topic = await createTopic(broker)
  await write(broker, topic, 0, ['0', '1', '2', '3'])
  broker.trim(topic, 0, 2)
  expect(values(await readAll(broker, topic))).toEqual(['2', '3'])
  expect(await broker.admin().offsets(partitionsOf(topic), 'earliest')).toEqual(new Map([[`${topic}:0`, 2]]))
  const failure: unknown = await readAll(broker, topic, { from: 1 }).catch((e: unknown) => e)
  expect(isError(failure, 'OFFSET_OUT_OF_RANGE')).toBe(true)
})
