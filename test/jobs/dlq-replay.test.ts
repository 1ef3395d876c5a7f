import { expect, test } from 'vitest'
import type { DeadLetter } from '#schemas'
import { createCodec } from '#core/codec'
import { partitionKey } from '#core/ports'
import { replayDeadLetters, type ReplayPlan } from '../../jobs/dlq-replay.ts'
import { scanTopic } from '../../jobs/topic-reader.ts'
import { createMemoryBroker } from '../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'

const TOPIC = 'telemetry.flows'
const DLQ = `dlq.${TOPIC}`
const MARKS = 'replays.dlq'

function letter(offset: number, more: Partial<DeadLetter> = {}): DeadLetter {
  return {
    topic: TOPIC,
    partition: 1,
    offset,
    timestamp_ms: 1_000 + offset,
    key: Buffer.from(`k${offset}`),
    value: Buffer.from([0xff, offset]),
    reason_code: 'RECORD_UNDECODABLE',
    reason: 'test',
    topology: 'features',
    at_ms: 50_000 + offset,
    ...more,
  }
}

/** Two partitions of the topic, dead letters of two topologies among others. */
async function newWorld(letters: readonly DeadLetter[]) {
  const broker = createMemoryBroker()
  const codec = createCodec(createMemoryRegistry())
  await codec.prepare([{ topic: DLQ, record: 'DeadLetter' }])
  await broker.admin().ensureTopics([
    { name: TOPIC, partitions: 2 },
    { name: DLQ, partitions: 1 },
  ])
  const producer = broker.producer()
  for (const l of letters) {
    producer.add(
      DLQ,
      0,
      l.at_ms,
      Buffer.from(`${l.partition}:${l.offset}`),
      codec.encode(DLQ, 'DeadLetter', l),
    )
  }
  await producer.flush()
  await producer.close()
  const plan: ReplayPlan = {
    broker,
    codec,
    topic: TOPIC,
    deadLetters: DLQ,
    marks: MARKS,
    wants: () => true,
    includeLate: false,
    send: true,
  }
  return { broker, plan }
}

interface Sent {
  partition: number
  timestampMs: number
  key: string | null
  value: number[] | null
}

async function readTopic(broker: ReplayPlan['broker'], topic: string): Promise<Sent[]> {
  const sent: Sent[] = []
  await scanTopic(broker, topic, (c) => {
    const key = c.keyLength < 0 ? null : c.buffer.toString('utf8', c.keyStart, c.keyStart + c.keyLength)
    const value =
      c.valueLength < 0 ? null : [...c.buffer.subarray(c.valueStart, c.valueStart + c.valueLength)]
    sent.push({ partition: c.partition, timestampMs: c.timestampMs, key, value })
  })
  return sent
}

test('original key, value, timestamp and partition go back; a second replay sends nothing', async () => {
  const { broker, plan } = await newWorld([letter(7), letter(9, { key: null, partition: 0 })])
  expect(await replayDeadLetters(plan)).toEqual({ topic: TOPIC, letters: 2, replayed: 2, skipped: {} })
  const expected = [
    { partition: 0, timestampMs: 1009, key: null, value: [0xff, 9] },
    { partition: 1, timestampMs: 1007, key: 'k7', value: [0xff, 7] },
  ]
  expect(await readTopic(broker, TOPIC)).toEqual(expected)
  expect(await replayDeadLetters(plan)).toEqual({
    topic: TOPIC,
    letters: 2,
    replayed: 0,
    skipped: { 'replayed before': 2 },
  })
  expect(await readTopic(broker, TOPIC)).toEqual(expected)
})

test('late and cut records stay, one refused by two topologies goes once, filters hold; all add up', async () => {
  const { broker, plan } = await newWorld([
    letter(1),
    letter(1, { topology: 'audit' }),
    letter(2, { reason_code: 'RECORD_LATE' }),
    letter(3, { reason_code: 'RECORD_TOO_LARGE' }),
    letter(4, { reason_code: 'RECORD_INVALID' }),
  ])
  const wants = (l: DeadLetter) => l.reason_code !== 'RECORD_INVALID'
  expect(await replayDeadLetters({ ...plan, wants })).toEqual({
    topic: TOPIC,
    letters: 5,
    replayed: 1,
    skipped: { 'refused twice': 1, late: 1, 'not whole': 1, 'not wanted': 1 },
  })
  expect(await replayDeadLetters({ ...plan, includeLate: true })).toMatchObject({
    replayed: 2,
    skipped: { 'replayed before': 2, 'not whole': 1 },
  })
  expect((await readTopic(broker, TOPIC)).map((r) => r.key)).toEqual(['k1', 'k2', 'k4'])
})

test('a preview counts and leaves nothing behind', async () => {
  const { broker, plan } = await newWorld([letter(1)])
  expect(await replayDeadLetters({ ...plan, send: false })).toMatchObject({ replayed: 1 })
  expect(await readTopic(broker, TOPIC)).toEqual([])
  expect(await broker.admin().listTopics()).not.toContain(MARKS)
  expect(await replayDeadLetters(plan)).toMatchObject({ replayed: 1 })
})

test('a replay that died before its commit has sent nothing; the next one sends all', async () => {
  const { broker, plan } = await newWorld([letter(1), letter(2)])
  const dying = broker.connect()
  const producer = dying.transactionalProducer({ transactionalId: `${DLQ}-replay` })
  await producer.init()
  producer.add(TOPIC, 1, 1, Buffer.from('half'), null)
  dying.kill()
  expect(await replayDeadLetters(plan)).toMatchObject({ replayed: 2 })
  expect((await readTopic(broker, TOPIC)).map((r) => r.key)).toEqual(['k1', 'k2'])
})

test('two replays at once: each record is sent once', async () => {
  const { broker, plan } = await newWorld(Array.from({ length: 50 }, (_, offset) => letter(offset)))
  const results = await Promise.allSettled([replayDeadLetters(plan), replayDeadLetters(plan)])
  expect(results.some((r) => r.status === 'fulfilled')).toBe(true)
  const keys = (await readTopic(broker, TOPIC)).map((r) => r.key)
  expect(new Set(keys).size).toBe(50)
  expect(keys).toHaveLength(50)
})

test('a compacted topic is refused, with or without the prefix of a replay; an unknown one too', async () => {
  const { broker, plan } = await newWorld([])
  for (const topic of ['decisions.traffic.routes', 'replay-7.events.calendar']) {
    await expect(replayDeadLetters({ ...plan, topic })).rejects.toMatchObject({ code: 'CONFIG_INVALID' })
  }
  await expect(replayDeadLetters({ ...plan, topic: 'nope' })).rejects.toMatchObject({
    code: 'NOT_FOUND',
    message: 'Topic nope does not exist.',
  })
  expect(
    (await broker.admin().offsets([{ topic: TOPIC, partition: 0 }], 'latest')).get(partitionKey(TOPIC, 0)),
  ).toBe(0)
})
