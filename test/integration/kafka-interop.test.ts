import { CompressionTypes, Kafka, logLevel } from 'kafkajs'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import { createTopic, join, partitionsOf, readAll, values } from '../conformance/broker/bench.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

const bootstrapBrokers = inject('kafkaBrokers').split(',')
// gzip, because kafkajs has no lz4 without a plug-in
const broker = createBroker({ bootstrapBrokers, clientId: 'interop', compression: 'gzip', batchBytes: 1 })
const kafkajs = new Kafka({
  clientId: 'interop',
  brokers: bootstrapBrokers,
  logLevel: logLevel.NOTHING,
  retry: { initialRetryTime: 5 },
})

afterAll(() => broker.close())

interface Message {
  readonly key: string | null
  readonly value: string | null
  readonly headers: Record<string, string>
  readonly timestamp: string
}

/** Reads with kafkajs (read_committed) until the value 'end' comes. */
async function readWithKafkajs(topic: string): Promise<Message[]> {
  const messages: Message[] = []
  const consumer = kafkajs.consumer({ groupId: uniqueName('interop'), maxWaitTimeInMs: 100 })
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    eachMessage: async ({ message: { key, value, headers = {}, timestamp } }) => {
      const entries = Object.entries(headers).map(([name, bytes]) => [name, String(bytes)])
      messages.push({
        key: key?.toString() ?? null,
        value: value?.toString() ?? null,
        headers: Object.fromEntries(entries),
        timestamp,
      })
    },
  })
  await until(() => messages.at(-1)?.value === 'end')
  await consumer.disconnect()
  return messages
}

describe('kafkajs reads what we write', () => {
  test('records with headers, keys, tombstones and timestamps', async () => {
    const topic = await createTopic(broker)
    const producer = broker.producer()
    producer.add(topic, 0, 1_700_000_000_123, Buffer.from('k'), Buffer.from('v'), [
      ['a', Buffer.from('1')],
      ['b', Buffer.from('zwei')],
    ])
    producer.add(topic, 0, 1_600_000_000_000, Buffer.from('k'), null)
    producer.add(topic, 0, 1_700_000_000_124, null, Buffer.from('end'))
    await producer.close()
    expect(await readWithKafkajs(topic)).toEqual([
      { key: 'k', value: 'v', headers: { a: '1', b: 'zwei' }, timestamp: '1700000000123' },
      { key: 'k', value: null, headers: {}, timestamp: '1600000000000' },
      { key: null, value: 'end', headers: {}, timestamp: '1700000000124' },
    ])
  })

  test('transactions: what is committed, not what is aborted', async () => {
    const topic = await createTopic(broker)
    const producer = broker.transactionalProducer({ transactionalId: uniqueName('interop') })
    await producer.init()
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 5; i++) producer.add(topic, 0, 1, null, Buffer.from(`${round}.${i}`))
      await until(() => producer.pendingBytes === 0)
      await (round % 3 === 0 ? producer.commit() : producer.abort())
    }
    producer.add(topic, 0, 1, null, Buffer.from('end'))
    await producer.commit()
    const wanted = [0, 3, 6, 9].flatMap((round) => [0, 1, 2, 3, 4].map((i) => `${round}.${i}`))
    expect((await readWithKafkajs(topic)).map((m) => m.value)).toEqual([...wanted, 'end'])
  })

  test('offsets and metadata committed in a transaction', async () => {
    const topic = await createTopic(broker)
    const groupId = uniqueName('interop')
    const producer = broker.transactionalProducer({ transactionalId: uniqueName('interop') })
    await producer.init()
    const member = await join(broker, { groupId, topics: [topic] })
    await producer.sendOffsets(groupId, await member.assigned(), [
      { topic, partition: 0, offset: 42, metadata: 'from=17' },
    ])
    await producer.commit()
    await broker.admin().committed(groupId, partitionsOf(topic)) // stable
    await member.close()
    const admin = kafkajs.admin()
    await admin.connect()
    const [offsets] = await admin.fetchOffsets({ groupId, topics: [topic] })
    await admin.disconnect()
    expect(offsets?.partitions).toEqual([{ partition: 0, offset: '42', metadata: 'from=17' }])
  })
})

describe('we read what kafkajs writes', () => {
  test.each([CompressionTypes.None, CompressionTypes.GZIP])('records, codec %i', async (compression) => {
    const topic = await createTopic(broker)
    const producer = kafkajs.producer()
    await producer.connect()
    const messages = Array.from({ length: 100 }, (_, i) => ({
      key: `k${i}`,
      value: i % 10 === 0 ? null : `v${i}`,
      headers: { n: String(i) },
      timestamp: String(1_700_000_000_000 + i),
    }))
    await producer.send({ topic, messages, compression })
    await producer.disconnect()
    const seen = await readAll(broker, topic)
    expect(seen).toEqual(
      messages.map((m, i) => ({
        partition: 0,
        offset: i,
        timestampMs: Number(m.timestamp),
        key: m.key,
        value: m.value,
        headers: [['n', m.headers.n]],
      })),
    )
  })

  test('transactions: what is committed, not what is aborted', async () => {
    const topic = await createTopic(broker)
    const producer = kafkajs.producer({
      transactionalId: uniqueName('interop'),
      maxInFlightRequests: 1,
      idempotent: true,
    })
    await producer.connect()
    for (let round = 0; round < 6; round++) {
      const transaction = await producer.transaction()
      await transaction.send({ topic, messages: [{ value: `${round}a` }, { value: `${round}b` }] })
      await (round % 2 === 0 ? transaction.commit() : transaction.abort())
    }
    await producer.disconnect()
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual([
      '0a',
      '0b',
      '2a',
      '2b',
      '4a',
      '4b',
    ])
  })

  test('records that retention has removed are an error that names the earliest', async () => {
    const topic = await createTopic(broker)
    const producer = broker.producer()
    for (let i = 0; i < 10; i++) producer.add(topic, 0, 1, null, Buffer.from(String(i)))
    await producer.close()
    const admin = kafkajs.admin()
    await admin.connect()
    await admin.fetchTopicOffsets(topic) // loads the metadata, which deleteTopicRecords does not
    await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: '6' }] })
    await admin.disconnect()
    const reader = broker.readPartitions({
      partitions: [{ topic, partition: 0, from: 3 }],
      until: 'end',
      onBatch: () => {},
    })
    await expect(reader.done).rejects.toMatchObject({
      code: 'OFFSET_OUT_OF_RANGE',
      message: `${topic}-0: offset 3 is wanted, the earliest is 6`,
    })
    await reader.close()
    expect(values(await readAll(broker, topic, { from: 'earliest' }))).toEqual(['6', '7', '8', '9'])
  })
})
