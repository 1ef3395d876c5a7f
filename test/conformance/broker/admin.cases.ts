import { expect, test } from 'vitest'
import { partitionKey } from '#core/ports'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { bytes, createTopic, partitionsOf, write } from './bench.ts'
import type { Bench } from './bench.ts'

/** Topics and offsets. */
export function adminCases(bench: () => Bench): void {
  test('topics are created once, found, and deleted', async () => {
    const admin = bench().connect().admin()
    const [a, b, never] = [uniqueName('topic'), uniqueName('topic'), uniqueName('topic')]
    const wanted = [
      { name: a, partitions: 2 },
      { name: b, partitions: 1, configs: { 'cleanup.policy': 'compact' } },
    ]
    await admin.ensureTopics(wanted)
    await admin.ensureTopics(wanted)
    expect(await admin.partitions([a, b, never])).toEqual(
      new Map([
        [a, 2],
        [b, 1],
      ]),
    )
    expect(await admin.listTopics()).toEqual(expect.arrayContaining([a, b]))
    await expect(admin.ensureTopics([{ name: a, partitions: 3 }])).rejects.toMatchObject({
      code: 'CONFIG_INVALID',
    })
    await admin.deleteTopics([a, never])
    expect(await admin.partitions([a, b])).toEqual(new Map([[b, 1]]))
    expect(await admin.listTopics()).not.toContain(a)
  })

  test('a new topic can be written to and read from at once', async () => {
    const broker = bench().connect()
    for (let i = 0; i < 5; i++) {
      const topic = await createTopic(broker, 8)
      await write(broker, topic, 7, ['x'])
      const admin = broker.admin()
      expect((await admin.offsets(partitionsOf(topic, 8), 'latest')).get(partitionKey(topic, 7))).toBe(1)
    }
  })

  test('earliest, stable and latest offsets differ while a transaction is open', async () => {
    const broker = bench().connect({ eager: true })
    const topic = await createTopic(broker)
    await write(broker, topic, 0, ['a', 'b'])
    const producer = broker.transactionalProducer({ transactionalId: uniqueName('transaction') })
    await producer.init()
    producer.add(topic, 0, 1, null, bytes('x'))
    await until(() => producer.pendingBytes === 0)
    const admin = broker.admin()
    const all = async () => {
      const kinds = (['earliest', 'stable', 'latest'] as const).map((kind) =>
        admin.offsets(partitionsOf(topic), kind),
      )
      return (await Promise.all(kinds)).map((m) => m.get(partitionKey(topic, 0)))
    }
    expect(await all()).toEqual([0, 2, 3])
    await producer.commit()
    await until(async () => (await all())[1] === 4) // the marker follows the answer
    expect(await all()).toEqual([0, 4, 4])
  })
}
