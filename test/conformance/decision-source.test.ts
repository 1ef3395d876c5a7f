import { Kafka, logLevel } from 'kafkajs'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createBrokerSource } from '#core/dataplane'
import {
  type Broker,
  type Decision,
  type DecisionEvent,
  type DecisionSource,
  type DecodeDecision,
  ForestallError,
  systemClock,
} from '#core/ports'
import { createBroker } from '#infra/kafka'
import { createKafkajsSource } from '#infra/kafkajs'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

interface Body {
  region: string
}

const PARTITIONS = 2

/** The envelope does not matter here: the value is JSON with entity, epoch and region. */
const decode: DecodeDecision<Body> = (value) => {
  if (value.toString() === 'registry away') throw new Error('connect ECONNREFUSED')
  try {
    return JSON.parse(value.toString()) as Decision<Body>
  } catch (cause) {
    throw new ForestallError('RECORD_UNDECODABLE', 'not JSON', { cause })
  }
}

const kafka = (): Kafka =>
  new Kafka({
    brokers: inject('kafkaBrokers').split(','),
    logLevel: logLevel.NOTHING,
    clientId: 'conformance',
  })

type Make = (broker: Broker, topic: string, read: DecodeDecision<Body>) => DecisionSource<Body>
const implementations: [string, Make][] = [
  ['own reader', (broker, topic, read) => createBrokerSource(broker, topic, read, { retryMs: 50 })],
  ['kafkajs', (_, topic, read) => createKafkajsSource({ kafka: kafka(), topic, decode: read, retryMs: 50 })],
]

let broker: Broker
beforeAll(() => {
  broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: 'conformance' })
})
afterAll(() => broker.close())

async function newTopic(): Promise<string> {
  const name = uniqueName('decisions')
  const admin = broker.admin()
  await admin.ensureTopics([{ name, partitions: PARTITIONS, configs: { 'cleanup.policy': 'compact' } }])
  await admin.close()
  return name
}

type Row = [entity: string, epoch: number | null, partition?: number]
const value = (entity: string, epoch: number) => Buffer.from(JSON.stringify({ entity, epoch }))

async function write(topic: string, ...rows: Row[]): Promise<void> {
  const producer = broker.producer()
  for (const [entity, epoch, partition = 0] of rows) {
    const body = epoch === null ? null : value(entity, epoch)
    producer.add(topic, partition, systemClock.nowMs(), Buffer.from(entity), body)
  }
  await producer.flush()
  await producer.close()
}

async function transaction(topic: string, rows: Row[], end: 'commit' | 'abort'): Promise<void> {
  const producer = broker.transactionalProducer({ transactionalId: uniqueName('txn') })
  await producer.init()
  for (const [entity, epoch, partition = 0] of rows) {
    producer.add(topic, partition, systemClock.nowMs(), Buffer.from(entity), value(entity, epoch ?? 0))
  }
  await producer[end]()
  await producer.close()
  // The broker answers before it has written the markers: until then the end of the transaction is not the stable end.
  const admin = broker.admin()
  const all = Array.from({ length: PARTITIONS }, (_, p) => ({ topic, partition: p }))
  const ends = async (which: 'stable' | 'latest') => [...(await admin.offsets(all, which)).values()].join()
  await until(async () => (await ends('stable')) === (await ends('latest')), { what: 'markers' })
  await admin.close()
}

/** A transaction with one record at the broker that is neither committed nor aborted; call the result to commit it. */
async function openTransaction(topic: string, entity: string, epoch: number): Promise<() => Promise<void>> {
  const producer = kafka().producer({
    transactionalId: uniqueName('txn'),
    idempotent: true,
    maxInFlightRequests: 1,
  })
  await producer.connect()
  const txn = await producer.transaction()
  await txn.send({ topic, messages: [{ key: entity, value: value(entity, epoch), partition: 0 }] })
  return async () => {
    await txn.commit()
    await producer.disconnect()
  }
}

interface Seen {
  /** `entity epoch` per record; `entity -` for a tombstone, `*` where it said that it had caught up. */
  log: string[]
  ends: ReadonlyMap<number, number> | null
  errors: Error[]
  events: DecisionEvent<Body>[]
}

const open: DecisionSource<Body>[] = []
function follow(source: DecisionSource<Body>): Seen {
  const seen: Seen = { log: [], ends: null, errors: [], events: [] }
  open.push(source)
  source.start({
    onDecision(event) {
      seen.events.push(event)
      seen.log.push(`${event.entity} ${event.decision?.epoch ?? '-'}`)
    },
    onCaughtUp(ends) {
      seen.log.push('*')
      seen.ends = ends
    },
    onError: (error) => void seen.errors.push(error),
  })
  return seen
}
const caughtUp = (seen: Seen) => until(() => seen.ends !== null, { what: 'caught up' })
const logged = (seen: Seen, count: number) =>
  until(() => seen.log.length >= count, { what: `${count} entries, has ${seen.log.join(', ')}` })
const ofPartition = (seen: Seen, partition: number) =>
  seen.events.filter((e) => e.partition === partition).map((e) => e.decision?.epoch ?? null)

describe.each(implementations)('decision source: %s', (_name, make) => {
  afterAll(async () => {
    for (const source of open.splice(0)) await source.stop()
  })

  test('an empty topic is caught up with at once, then records come live', async () => {
    const topic = await newTopic()
    const seen = follow(make(broker, topic, decode))
    await caughtUp(seen)
    expect(seen.log).toEqual(['*'])
    await write(topic, ['a', 1], ['a', null])
    await logged(seen, 3)
    expect(seen.log).toEqual(['*', 'a 1', 'a -'])
  })

  test('what stood comes before the word, in order per partition, tombstones included', async () => {
    const topic = await newTopic()
    await write(topic, ['a', 1], ['a', 2], ['b', 3, 1], ['c', 4], ['c', null], ['b', 5, 1])
    const source = make(broker, topic, decode)
    const seen = follow(source)
    await caughtUp(seen)
    expect(seen.log.at(-1)).toBe('*')
    expect(ofPartition(seen, 0)).toEqual([1, 2, 4, null])
    expect(ofPartition(seen, 1)).toEqual([3, 5])
    expect(Object.fromEntries(seen.ends ?? [])).toEqual({ 0: 4, 1: 2 })
    expect(source.lag()).toBe(0)
    await write(topic, ['d', 6, 1])
    await logged(seen, 8)
    expect(seen.log.at(-1)).toBe('d 6')
    expect(seen.events.map((e) => e.offset)).toContain(2)
  })

  test('aborted records are never seen, and a tail of aborted and control records does not hold it up', async () => {
    const topic = await newTopic()
    await transaction(
      topic,
      [
        ['a', 1],
        ['b', 2, 1],
      ],
      'commit',
    )
    await transaction(
      topic,
      [
        ['a', 8],
        ['b', 9, 1],
      ],
      'abort',
    )
    const seen = follow(make(broker, topic, decode))
    await caughtUp(seen)
    expect([...seen.log].sort()).toEqual(['*', 'a 1', 'b 2'])
    await write(topic, ['a', 3])
    await logged(seen, 4)
    expect(seen.log.at(-1)).toBe('a 3')
  })

  test('a transaction left open does not show, and shows once committed', async () => {
    const topic = await newTopic()
    await write(topic, ['a', 1])
    const seen = follow(make(broker, topic, decode))
    await caughtUp(seen)
    const commit = await openTransaction(topic, 'a', 2)
    await write(topic, ['x', 1, 1])
    await logged(seen, 3)
    expect(seen.log).toEqual(['a 1', '*', 'x 1'])
    await commit()
    await logged(seen, 4)
    expect(seen.log.at(-1)).toBe('a 2')
  })

  test('an unreadable record is named and skipped', async () => {
    const topic = await newTopic()
    const producer = broker.producer()
    producer.add(topic, 0, systemClock.nowMs(), Buffer.from('a'), Buffer.from('not JSON'))
    await producer.flush()
    await producer.close()
    await write(topic, ['b', 2])
    const seen = follow(make(broker, topic, decode))
    await caughtUp(seen)
    expect(seen.log).toEqual(['b 2', '*'])
    expect(seen.errors).toMatchObject([{ code: 'RECORD_UNDECODABLE' }])
    expect(seen.errors[0]?.message).toContain(`${topic} partition 0 offset 0`)
  })

  test('a decoder that fails for now is asked again; nothing is lost or doubled', async () => {
    const topic = await newTopic()
    await write(topic, ['a', 1], ['b', 2], ['c', 3])
    let failures = 2
    const seen = follow(
      make(broker, topic, (bytes) => {
        const decision = decode(bytes) as Decision<Body>
        if (decision.entity === 'b' && failures-- > 0) throw new Error('connect ECONNREFUSED')
        return decision
      }),
    )
    await caughtUp(seen)
    expect(seen.log).toEqual(['a 1', 'b 2', 'c 3', '*'])
    expect(seen.errors.length).toBeGreaterThan(0)
  })

  test('a topic that does not exist yet is waited for', async () => {
    const topic = uniqueName('decisions')
    const seen = follow(make(broker, topic, decode))
    await until(() => seen.errors.length > 0, { what: 'an error' })
    const admin = broker.admin()
    await admin.ensureTopics([{ name: topic, partitions: 1 }])
    await admin.close()
    await write(topic, ['a', 1])
    await logged(seen, 2)
    expect(seen.log).toContain('a 1')
  })

  test('stop before start and twice is harmless; nothing comes after it', async () => {
    const topic = await newTopic()
    const never = make(broker, topic, decode)
    await never.stop()
    await never.stop()
    const source = make(broker, topic, decode)
    expect(source.lag()).toBe(-1)
    const seen = follow(source)
    await caughtUp(seen)
    await source.stop()
    await source.stop()
    await write(topic, ['a', 1])
    const witness = follow(make(broker, topic, decode))
    await logged(witness, 2)
    expect(seen.log).toEqual(['*'])
  })
})
