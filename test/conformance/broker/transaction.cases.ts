import { expect, test } from 'vitest'
import type { TransactionalProducer } from '#core/ports'
import { isError } from '#core/ports'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { bytes, createTopic, join, partitionsOf, readAll, values, write } from './bench.ts'
import type { Bench } from './bench.ts'

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (e: unknown) => e,
  )

function add(producer: TransactionalProducer, topic: string, ...texts: string[]): void {
  for (const text of texts) producer.add(topic, 0, 1, null, bytes(text))
}

/** Adds records and waits until the broker has them: an abort would drop what has not been sent. */
async function send(producer: TransactionalProducer, topic: string, ...texts: string[]): Promise<void> {
  add(producer, topic, ...texts)
  await until(() => producer.pendingBytes === 0)
}

/** Transactions: all or nothing, and never a zombie's. */
export function transactionCases(bench: () => Bench): void {
  async function open(transactionalId = uniqueName('transaction')) {
    const broker = bench().connect({ eager: true })
    const topic = await createTopic(broker)
    const producer = broker.transactionalProducer({ transactionalId })
    await producer.init()
    return { broker, topic, producer, transactionalId }
  }

  test('records are visible once committed, not before', async () => {
    const { broker, topic, producer } = await open()
    await write(broker, topic, 0, ['before'])
    await send(producer, topic, 'a', 'b')
    expect(producer.dirty).toBe(true)
    expect(values(await readAll(broker, topic))).toEqual(['before'])
    await producer.commit()
    expect(producer.dirty).toBe(false)
    expect(producer.pendingBytes).toBe(0)
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['before', 'a', 'b'])
  })

  test('aborted records stay invisible, what the same producer commits next does not', async () => {
    const { broker, topic, producer } = await open()
    await send(producer, topic, 'void')
    await producer.abort()
    expect(producer.dirty).toBe(false)
    await send(producer, topic, 'void too')
    await producer.abort()
    await send(producer, topic, 'kept')
    await producer.commit()
    await send(producer, topic, 'last')
    await producer.commit()
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['kept', 'last'])
  })

  test('producers in one partition commit and abort independently', async () => {
    const { broker, topic, producer } = await open()
    const other = broker.transactionalProducer({ transactionalId: uniqueName('transaction') })
    await other.init()
    const plain = broker.producer()
    for (let round = 0; round < 6; round++) {
      await send(producer, topic, `a${round}`)
      await send(other, topic, `b${round}`)
      plain.add(topic, 0, 1, null, bytes(`plain${round}`))
      await plain.flush()
      await (round % 2 === 0 ? producer.commit() : producer.abort())
      await (round % 3 === 0 ? other.commit() : other.abort())
    }
    const seen = values(await readAll(broker, topic, { until: 'end' }))
    expect(new Set(seen)).toEqual(
      new Set(['a0', 'a2', 'a4', 'b0', 'b3', 'plain0', 'plain1', 'plain2', 'plain3', 'plain4', 'plain5']),
    )
    expect(seen).toHaveLength(11)
  })

  test('reading that begins inside an aborted transaction sees none of it', async () => {
    const { broker, topic, producer } = await open()
    await send(producer, topic, ...Array.from({ length: 20 }, (_, i) => `void${i}`))
    await producer.abort()
    await send(producer, topic, 'kept')
    await producer.commit()
    expect(values(await readAll(broker, topic, { from: 10, until: 'end' }))).toEqual(['kept'])
  })

  test('a transaction of several topics and partitions is one', async () => {
    const { broker, topic, producer } = await open()
    const wide = await createTopic(broker, 4)
    for (let i = 0; i < 400; i++) producer.add(wide, i % 4, i, null, bytes(String(i)))
    await send(producer, topic, 'x')
    await producer.commit()
    expect(await readAll(broker, wide, { partitions: 4, until: 'end' })).toHaveLength(400)
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['x'])
  })

  test('committing or aborting nothing is no error', async () => {
    const { broker, topic, producer } = await open()
    await producer.commit()
    await producer.abort()
    await send(producer, topic, 'x')
    await producer.commit()
    await producer.commit()
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['x'])
  })

  test('offsets and their metadata commit with the transaction, or not at all', async () => {
    const { broker, topic, producer } = await open()
    const groupId = uniqueName('group')
    await write(broker, topic, 0, ['1', '2', '3'])
    const member = await join(broker, { groupId, topics: [topic] })
    const assignment = await member.assigned()
    const admin = broker.admin()
    const commit = (offset: number, metadata: string) =>
      producer.sendOffsets(groupId, assignment, [{ topic, partition: 0, offset, metadata }])
    expect(await admin.committed(groupId, partitionsOf(topic))).toEqual([
      { topic, partition: 0, offset: -1, metadata: '' },
    ])
    await commit(1, 'aborted')
    await producer.abort()
    expect(await admin.committed(groupId, partitionsOf(topic))).toEqual([
      { topic, partition: 0, offset: -1, metadata: '' },
    ])
    await commit(2, '{"earliest":0}')
    await producer.commit()
    expect(await admin.committed(groupId, partitionsOf(topic))).toEqual([
      { topic, partition: 0, offset: 2, metadata: '{"earliest":0}' },
    ])
    await member.close()
    await admin.deleteGroup(groupId)
    expect(await admin.committed(groupId, partitionsOf(topic))).toEqual([
      { topic, partition: 0, offset: -1, metadata: '' },
    ])
  })

  test('committed offsets wait for the transaction that carries newer ones', async () => {
    const { broker, topic, producer } = await open()
    const groupId = uniqueName('group')
    const member = await join(broker, { groupId, topics: [topic] })
    await producer.sendOffsets(groupId, await member.assigned(), [
      { topic, partition: 0, offset: 7, metadata: 'new' },
    ])
    let answered = false
    const asked = broker
      .admin()
      .committed(groupId, partitionsOf(topic))
      .finally(() => (answered = true))
    await broker.admin().committed(uniqueName('group'), partitionsOf(topic)) // a whole round trip meanwhile
    expect(answered).toBe(false)
    await producer.commit()
    expect(await asked).toEqual([{ topic, partition: 0, offset: 7, metadata: 'new' }])
  })

  test('a second init of the same id fences the first producer and aborts what it left open', async () => {
    const { broker, topic, producer, transactionalId } = await open()
    await send(producer, topic, 'zombie')
    const newer = bench().connect().transactionalProducer({ transactionalId })
    await newer.init()
    add(newer, topic, 'newer')
    await newer.commit()
    expect(isError(await failure(producer.commit()), 'PRODUCER_FENCED')).toBe(true)
    expect(isError(await failure(producer.abort()), 'PRODUCER_FENCED')).toBe(true)
    expect(() => add(producer, topic, 'again')).toThrow(expect.objectContaining({ code: 'PRODUCER_FENCED' }))
    add(newer, topic, 'newer still')
    await newer.commit()
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['newer', 'newer still'])
  })

  test('a zombie of an earlier generation cannot move offsets, and can go on after an abort', async () => {
    const { broker, topic, producer } = await open()
    const groupId = uniqueName('group')
    const zombie = await join(broker, { groupId, topics: [topic] })
    const old = await zombie.assigned()
    const member = await join(bench().connect(), { groupId, topics: [topic] })
    await member.assigned()
    await zombie.assigned(2)
    await send(producer, topic, 'twice')
    const offsets = [{ topic, partition: 0, offset: 5, metadata: '' }]
    expect(isError(await failure(producer.sendOffsets(groupId, old, offsets)), 'GENERATION_STALE')).toBe(true)
    expect(isError(await failure(producer.commit()), 'GENERATION_STALE')).toBe(true)
    await producer.abort()
    const now = [zombie.assignments.at(-1), member.assignments.at(-1)].find((a) => a?.partitions.length === 1)
    await producer.sendOffsets(groupId, now as NonNullable<typeof now>, offsets)
    await send(producer, topic, 'once')
    await producer.commit()
    expect((await broker.admin().committed(groupId, partitionsOf(topic)))[0]?.offset).toBe(5)
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['once'])
  })

  test("'end' waits for the open transaction, 'stable' does not", async () => {
    const { broker, topic, producer } = await open()
    await write(broker, topic, 0, ['before'])
    await send(producer, topic, 'open')
    expect(values(await readAll(broker, topic, { readCommitted: false, until: 'end' }))).toEqual([
      'before',
      'open',
    ])
    let done = false
    const reading = readAll(broker, topic, { until: 'end' }).finally(() => (done = true))
    expect(values(await readAll(broker, topic, { until: 'stable' }))).toEqual(['before'])
    expect(done).toBe(false)
    await producer.commit()
    expect(values(await reading)).toEqual(['before', 'open'])
  })

  test("'end' passes a tail of aborted and control records", async () => {
    const { broker, topic, producer } = await open()
    await send(producer, topic, 'kept')
    await producer.commit()
    for (let i = 0; i < 3; i++) {
      await send(producer, topic, `void${i}`)
      await producer.abort()
    }
    expect(values(await readAll(broker, topic, { until: 'end' }))).toEqual(['kept'])
    const empty = await createTopic(broker)
    expect(await readAll(broker, empty, { until: 'end' })).toEqual([])
  })
}
