import { setTimeout as delay } from 'node:timers/promises'
import { afterEach, expect, inject, test } from 'vitest'
import { createBroker } from '#infra/kafka'
import type { Broker } from '#core/ports'
import { copyBatch, createTopic, join, partitionsOf, values, write } from '../conformance/broker/bench.ts'
import type { Seen } from '../conformance/broker/bench.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

/** The least that brokers allow by default. */
const SESSION_MS = 6000
const open: Broker[] = []

function connect(): Broker {
  const broker = createBroker({
    bootstrapBrokers: inject('kafkaBrokers').split(','),
    clientId: uniqueName('group-test'),
  })
  open.push(broker)
  return broker
}

afterEach(async () => {
  for (const broker of open.splice(0).reverse()) await broker.close()
})

// The one place where time must pass: it is what is tested.
test('a member whose batch takes longer than its session is not evicted, not even while the group rebalances', async () => {
  const broker = connect()
  const topic = await createTopic(broker, 2)
  const options = { groupId: uniqueName('group'), topics: [topic], sessionTimeoutMs: SESSION_MS }
  await write(broker, topic, 0, ['slow'])
  const seen: Seen[] = []
  const started = Promise.withResolvers<void>()
  const slow = await join(broker, options, {
    async onBatch(cursor) {
      seen.push(...copyBatch(cursor))
      started.resolve()
      await delay(SESSION_MS * 1.4)
      slow.events.push('batch done')
    },
  })
  await started.promise
  const other = await join(connect(), options)
  await slow.assigned(2)
  expect(slow.events).toEqual(['assigned 2', 'batch done', 'revoked', 'assigned 1'])
  // Evicted, it would have joined as a new member, and the group would have had a generation more.
  expect(slow.assignments[1]?.memberId).toBe(slow.assignments[0]?.memberId)
  expect(slow.assignments[1]?.generationId).toBe((slow.assignments[0]?.generationId ?? 0) + 1)
  expect(other.errors).toEqual([])
  // Not committed, so whoever holds the partition now reads it again: nothing else may have come.
  expect(new Set(values(seen))).toEqual(new Set(['slow']))
})

test('offsets committed while the group revokes are accepted, under the generation that ends', async () => {
  const broker = connect()
  const topic = await createTopic(broker, 2)
  await write(broker, topic, 0, ['1', '2', '3', '4', '5']) // offsets to commit
  const groupId = uniqueName('group')
  const producer = broker.transactionalProducer({ transactionalId: uniqueName('transaction') })
  await producer.init()
  const finished: string[] = []
  let generation = { generationId: -1, memberId: '', groupInstanceId: null, partitions: [] } as Parameters<
    typeof producer.sendOffsets
  >[1]
  const reader = broker.groupReader(
    { groupId, topics: [topic] },
    {
      onAssigned(assignment) {
        generation = assignment
        return new Map()
      },
      async onRevoked() {
        await producer.sendOffsets(groupId, generation, [
          { topic, partition: 0, offset: generation.generationId, metadata: 'last words' },
        ])
        await producer.commit()
        finished.push('committed')
      },
      onBatch: () => {},
      onError: (error) => void finished.push(error.message),
    },
  )
  await reader.start()
  await until(() => generation.generationId > 0)
  const first = generation.generationId
  const other = await join(connect(), { groupId, topics: [topic] })
  const assignment = await other.assigned()
  expect(finished).toEqual(['committed'])
  expect(assignment.generationId).toBe(first + 1)
  expect((await broker.admin().committed(groupId, partitionsOf(topic)))[0]).toMatchObject({
    offset: first,
    metadata: 'last words',
  })
  await reader.close()
  expect(finished).toEqual(['committed', 'committed'])
})
