import { expect, test } from 'vitest'
import { isError, partitionKey } from '#core/ports'
import { uniqueName } from '../../support/unique.ts'
import { until } from '../../support/until.ts'
import { copyBatch, createTopic, join, partitionsOf, readAll, values, write } from './bench.ts'
import type { Bench, Seen, TestMember } from './bench.ts'

const held = (members: readonly TestMember[]): string[] =>
  members
    .flatMap((m) => (m.assignments.at(-1)?.partitions ?? []).map((p) => partitionKey(p.topic, p.partition)))
    .sort()

/** Groups: every partition has one reader, and takes up where the last one stopped. */
export function groupCases(bench: () => Bench): void {
  test('a member without committed offsets reads from the earliest, all partitions', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 3)
    for (const partition of [0, 1, 2]) await write(broker, topic, partition, ['x', 'y'])
    const member = await join(broker, { groupId: uniqueName('group'), topics: [topic] })
    expect(await member.saw(6)).toHaveLength(6)
    expect(member.assignments).toHaveLength(1)
    expect(member.assignments[0]?.partitions.map((p) => [p.offset, p.metadata])).toEqual([
      [-1, ''],
      [-1, ''],
      [-1, ''],
    ])
    await member.close()
    expect(member.events).toEqual(['assigned 3', 'revoked'])
    expect(member.errors).toEqual([])
  })

  test('two members share the partitions, and the one that stays takes over', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 4)
    const all = partitionsOf(topic, 4).map((p) => partitionKey(p.topic, p.partition))
    const groupId = uniqueName('group')
    const first = await join(broker, { groupId, topics: [topic] })
    await first.assigned()
    const second = await join(bench().connect(), { groupId, topics: [topic] })
    await second.assigned()
    await first.assigned(2)
    expect(held([first, second])).toEqual(all)
    expect(first.assignments.at(-1)?.partitions).toHaveLength(2)
    expect(first.events).toEqual(['assigned 4', 'revoked', 'assigned 2'])
    expect(second.assignments.at(-1)?.generationId).toBeGreaterThan(
      first.assignments[0]?.generationId ?? Infinity,
    )
    for (const partition of [0, 1, 2, 3]) await write(broker, topic, partition, [`p${partition}`])
    await until(() => first.seen.length + second.seen.length === 4)
    await first.close()
    await second.assigned(2)
    expect(held([second])).toEqual(all)
    await second.close()
    expect([...first.errors, ...second.errors]).toEqual([])
  })

  test('a static member that restarts keeps its partitions, and nobody else is disturbed', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 2)
    const groupId = uniqueName('group')
    const options = (groupInstanceId: string) => ({
      groupId,
      topics: [topic],
      groupInstanceId,
      sessionTimeoutMs: 20_000,
    })
    const other = await join(broker, options('slot-0'))
    await other.assigned()
    const before = await join(bench().connect(), options('slot-1'))
    const assignment = await before.assigned()
    await other.assigned(2)
    await before.close()
    const after = await join(bench().connect(), options('slot-1'))
    const again = await after.assigned()
    expect(again.partitions).toEqual(assignment.partitions)
    expect(again.groupInstanceId).toBe('slot-1')
    expect(again.generationId).toBe(assignment.generationId)
    await write(broker, topic, again.partitions[0]?.partition ?? -1, ['hello'])
    expect(values(await after.saw(1))).toEqual(['hello'])
    expect(other.events).toEqual(['assigned 2', 'revoked', 'assigned 1'])
  })

  test('a second process with the same instance id replaces the first, which does not come back', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker)
    const options = { groupId: uniqueName('group'), topics: [topic], groupInstanceId: 'slot-0' }
    const old = await join(broker, options)
    await old.assigned()
    const replacement = await join(bench().connect(), options)
    await replacement.assigned()
    await until(() => old.errors.length > 0)
    expect(isError(old.errors[0], 'INSTANCE_FENCED')).toBe(true)
    expect(old.events).toEqual(['assigned 1', 'revoked'])
    await write(broker, topic, 0, ['x'])
    expect(values(await replacement.saw(1))).toEqual(['x'])
    expect(replacement.errors).toEqual([])
    expect(old.seen).toEqual([])
  })

  test('reading goes on at the committed offset, and before it where the member says so', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 2)
    const groupId = uniqueName('group')
    for (const partition of [0, 1]) await write(broker, topic, partition, ['0', '1', '2', '3', '4'])
    const producer = broker.transactionalProducer({ transactionalId: uniqueName('transaction') })
    await producer.init()
    const first = await join(broker, { groupId, topics: [topic] })
    const assignment = await first.assigned()
    const offsets = [0, 1].map((partition) => ({
      topic,
      partition,
      offset: 3,
      metadata: `note ${partition}`,
    }))
    await producer.sendOffsets(groupId, assignment, offsets)
    await producer.commit()
    await first.close()
    const second = await join(
      broker,
      { groupId, topics: [topic] },
      { from: new Map([[partitionKey(topic, 1), 1]]) },
    )
    expect((await second.assigned()).partitions.toSorted((a, b) => a.partition - b.partition)).toEqual(
      offsets,
    )
    const seen = await second.saw(6)
    const of = (partition: number) => values(seen.filter((s) => s.partition === partition))
    expect([of(0), of(1)]).toEqual([
      ['3', '4'],
      ['1', '2', '3', '4'],
    ])
  })

  test('paused partitions hand out nothing until they are resumed', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 2)
    const member = await join(broker, { groupId: uniqueName('group'), topics: [topic] })
    await member.assigned()
    member.pause([{ topic, partition: 0 }])
    await write(broker, topic, 0, ['paused'])
    await write(broker, topic, 1, ['running'])
    expect(values(await member.saw(1))).toEqual(['running'])
    await write(broker, topic, 1, ['still running'])
    expect(values(await member.saw(2))).toEqual(['running', 'still running'])
    member.resume([{ topic, partition: 0 }])
    expect(values(await member.saw(3))).toEqual(['running', 'still running', 'paused'])
  })

  test('pausing inside a batch holds back all that follows it, and loses nothing', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker)
    const wanted: string[] = []
    for (let batch = 0; batch < 40; batch++) {
      const texts = Array.from({ length: 50 }, (_, i) => `${batch}/${i}`)
      wanted.push(...texts)
      await write(broker, topic, 0, texts)
    }
    const seen: Seen[] = []
    const onBatch = (cursor: Parameters<typeof copyBatch>[0], member: TestMember) => {
      seen.push(...copyBatch(cursor))
      member.pause([{ topic, partition: 0 }])
    }
    const member = await join(broker, { groupId: uniqueName('group'), topics: [topic] }, { onBatch })
    let rounds = 0
    for (; seen.length < wanted.length; rounds++) {
      const before = seen.length
      member.resume([{ topic, partition: 0 }])
      await until(() => seen.length > before)
    }
    expect(values(seen)).toEqual(wanted)
    expect(rounds).toBeGreaterThan(1)
  })

  test('one batch at a time: the next one waits for the promise of the last', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 3)
    for (const partition of [0, 1, 2])
      for (let i = 0; i < 5; i++) await write(broker, topic, partition, ['x'])
    let running = 0
    let most = 0
    let count = 0
    const onBatch = async (cursor: Parameters<typeof copyBatch>[0]) => {
      most = Math.max(most, ++running)
      await until(() => true)
      await new Promise(setImmediate)
      count += copyBatch(cursor).length
      running--
    }
    const member = await join(broker, { groupId: uniqueName('group'), topics: [topic] }, { onBatch })
    await until(() => count === 15)
    expect(most).toBe(1)
    expect(member.errors).toEqual([])
  })

  test('an offset that does not exist is an error that names the place', async () => {
    const broker = bench().connect()
    const topic = await createTopic(broker, 2)
    await write(broker, topic, 0, ['x'])
    const options = { groupId: uniqueName('group'), topics: [topic] }
    const member = await join(broker, options, { from: new Map([[partitionKey(topic, 0), 50]]) })
    await until(() => member.errors.length > 0)
    expect(member.errors).toHaveLength(1)
    expect(isError(member.errors[0], 'OFFSET_OUT_OF_RANGE')).toBe(true)
    for (const word of [`${topic}-0`, '50', 'earliest is 0'])
      expect(member.errors[0]?.message).toContain(word)
    await write(broker, topic, 1, ['the other partition goes on'])
    expect(values(await member.saw(1))).toEqual(['the other partition goes on'])
    await expect(readAll(broker, topic, { from: 50, partitions: 1 })).resolves.toEqual([]) // beyond the goal: nothing to read
    const reader = broker.readPartitions({
      partitions: [{ topic, partition: 0, from: 50 }],
      onBatch: () => {},
    })
    await expect(reader.done).rejects.toMatchObject({ code: 'OFFSET_OUT_OF_RANGE' })
    await reader.close()
  })
}
