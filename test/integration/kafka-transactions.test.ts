import { afterAll, expect, inject, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import { createTopic, join, partitionsOf, readAll, values } from '../conformance/broker/bench.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

const broker = createBroker({
  bootstrapBrokers: inject('kafkaBrokers').split(','),
  clientId: 'transactions',
  batchBytes: 1,
})
afterAll(() => broker.close())

async function open(transactionTimeoutMs = 60_000) {
  const topic = await createTopic(broker, 2, { 'max.message.bytes': '10000' })
  const producer = broker.transactionalProducer({
    transactionalId: uniqueName('transactions'),
    transactionTimeoutMs,
  })
  await producer.init()
  return { topic, producer }
}

test('the rate of transactions is not set by a retry delay', async () => {
  const { topic, producer } = await open()
  const startedAt = performance.now()
  for (let i = 0; i < 100; i++) {
    producer.add(topic, 0, 1, null, Buffer.from(String(i)))
    await producer.commit()
  }
  // 100 ms for each CONCURRENT_TRANSACTIONS would be ten seconds; measured: 0.4 s on two idle cores.
  expect(performance.now() - startedAt).toBeLessThan(8000)
  expect(await readAll(broker, topic, { until: 'end' })).toHaveLength(100)
})

test('offsets and records sent side by side are all in the transaction', async () => {
  const { topic, producer } = await open()
  const groups = Array.from({ length: 4 }, () => uniqueName('transactions'))
  const sent = groups.map(async (groupId, i) => {
    producer.add(topic, i % 2, 1, null, Buffer.from(`record ${i}`))
    const member = await join(broker, { groupId, topics: [topic] })
    const assignment = await member.assigned()
    await producer.sendOffsets(groupId, assignment, [
      { topic, partition: 0, offset: i + 1, metadata: `note ${i}` },
    ])
    producer.add(topic, i % 2, 1, null, Buffer.from(`record ${i} too`))
  })
  await Promise.all(sent)
  await producer.commit()
  const committed = await Promise.all(
    groups.map((groupId) => broker.admin().committed(groupId, partitionsOf(topic))),
  )
  expect(committed.map(([c]) => [c?.offset, c?.metadata])).toEqual(
    [1, 2, 3, 4].map((offset, i) => [offset, `note ${i}`]),
  )
  expect(await readAll(broker, topic, { partitions: 2, until: 'end' })).toHaveLength(8)
})

test('records that together exceed what a broker takes as one batch go out as several', async () => {
  const large = createBroker({
    bootstrapBrokers: inject('kafkaBrokers').split(','),
    clientId: 'large',
    compression: 'none',
  })
  const topic = await createTopic(large, 1)
  const producer = large.transactionalProducer({ transactionalId: uniqueName('transactions') })
  await producer.init()
  for (let i = 0; i < 5; i++) producer.add(topic, 0, 1, null, Buffer.alloc(600_000, i))
  await producer.commit()
  expect(await readAll(large, topic, { until: 'end' })).toHaveLength(5)
  await large.close()
})

test('an error sticks until the transaction is aborted; then the producer goes on', async () => {
  const { topic, producer } = await open()
  producer.add(topic, 0, 1, null, Buffer.from('lost'))
  const large = Buffer.alloc(50_000)
  for (let i = 0; i < large.length; i += 4) large.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i)
  producer.add(topic, 0, 1, null, large)
  await expect(producer.commit()).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' })
  expect(() => producer.add(topic, 0, 1, null, null)).toThrow(
    expect.objectContaining({ code: 'RECORD_TOO_LARGE' }),
  )
  await expect(producer.commit()).rejects.toMatchObject({ code: 'RECORD_TOO_LARGE' })
  await producer.abort()
  expect(producer.dirty).toBe(false)
  expect(producer.pendingBytes).toBe(0)
  producer.add(topic, 0, 1, null, Buffer.from('kept'))
  await producer.commit()
  expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['kept'])
})

test('a transaction that the broker has timed out is not mistaken for a takeover', async () => {
  const { topic, producer } = await open(1000)
  producer.add(topic, 0, 1, null, Buffer.from('too slow'))
  await until(() => producer.pendingBytes === 0)
  // The broker looks for such transactions every ten seconds.
  const admin = broker.admin()
  const end = async (kind: 'stable' | 'latest') =>
    (await admin.offsets(partitionsOf(topic), kind)).get(`${topic}:0`)
  await until(async () => (await end('latest')) === 2 && (await end('stable')) === 2, {
    timeoutMs: 30_000,
    everyMs: 200,
  })
  producer.add(topic, 0, 1, null, Buffer.from('too late'))
  await expect(producer.commit()).rejects.toMatchObject({ code: 'TRANSACTION_EXPIRED' })
  await producer.abort()
  producer.add(topic, 0, 1, null, Buffer.from('kept'))
  await producer.commit()
  expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['kept'])
})
