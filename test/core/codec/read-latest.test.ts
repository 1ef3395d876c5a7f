import { Buffer } from 'node:buffer'
import { expect, test } from 'vitest'
import { readLatest } from '#core/codec'
import { createMemoryBroker } from '../../../pipelines/core/runtime/testing/memory-broker.ts'

test('the newest value of every key, in the order of writing, without what was withdrawn', async () => {
  const broker = createMemoryBroker()
  await broker.admin().ensureTopics([{ name: 'state', partitions: 1 }])
  expect(await readLatest(broker, 'state')).toEqual(new Map())
  const producer = broker.producer()
  const add = (key: string | null, value: string | null) =>
    producer.add(
      'state',
      0,
      0,
      key === null ? null : Buffer.from(key),
      value === null ? null : Buffer.from(value),
    )
  add('a', '1')
  add('b', '1')
  add('gone', '1')
  add(null, 'without a key')
  add('a', '2')
  add('gone', null)
  await producer.flush()
  await producer.close()
  const latest = await readLatest(broker, 'state')
  expect([...latest].map(([key, value]) => [key, value.toString()])).toEqual([
    ['b', '1'],
    ['a', '2'],
  ])
  await broker.close()
})
