import { expect, test } from 'vitest'
import type { Ack } from '#schemas'
import { createAckSender } from '#core/dataplane'
import { type Broker, manualClock, manualTimers, type Producer } from '#core/ports'
// The runtime's test kit is not part of its index.
import { createMemoryBroker } from '../../../pipelines/core/runtime/testing/memory-broker.ts'

const ack = (entity: string, epoch: number): Ack => ({
  decision_id: `${entity}-${epoch}`,
  decision_topic: 'decisions.test',
  entity,
  epoch,
  follower: 'f1',
  state: 'applied',
  at_ms: 0,
  observed: {},
})
const encode = (a: Ack): Uint8Array => Buffer.from(a.decision_id)

async function valuesOf(broker: Broker): Promise<string[]> {
  const values: string[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic: 'acks', partition: 0, from: 'earliest' }],
    until: 'stable',
    onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        values.push(buffer.toString('utf8', valueStart, valueStart + valueLength))
      }
    },
  })
  await reader.done
  await reader.close()
  return values
}

/** A memory broker whose producers fail to flush while `isDown`. */
async function bench(capacity = 10) {
  const memory = createMemoryBroker()
  await memory.admin().ensureTopics([{ name: 'acks', partitions: 1 }])
  const link = { isDown: false, attempts: 0 }
  function producer(): Producer {
    const held: Parameters<Producer['add']>[] = []
    const real = memory.producer()
    return {
      add: (...record) => void held.push(record),
      pendingBytes: 0,
      async flush() {
        link.attempts++
        if (link.isDown) throw new Error('Kafka is away')
        for (const record of held.splice(0)) real.add(...record)
      },
      close: () => real.close(),
    }
  }
  const clock = manualClock(1000)
  const timers = manualTimers(clock)
  const sender = createAckSender({
    broker: { ...memory, producer },
    topic: 'acks',
    encode,
    clock,
    capacity,
    timers,
  })
  return { memory, link, timers, sender }
}

test('reports arrive in order; while Kafka is away they wait, and are sent once', async () => {
  const { memory, link, timers, sender } = await bench()
  sender.send(ack('a', 1))
  await sender.flushed()
  link.isDown = true
  sender.send(ack('a', 2))
  sender.send(ack('b', 3))
  await expect.poll(() => link.attempts).toBe(2)
  await expect.poll(() => timers.pending).toBe(1)
  expect(sender.pending).toBe(2)
  link.isDown = false
  timers.advance(1000)
  await sender.flushed()
  expect(await valuesOf(memory)).toEqual(['a-1', 'a-2', 'b-3'])
  expect(sender.pending).toBe(0)
  await sender.close()
})

test('what waits is bounded: the oldest reports are dropped and counted', async () => {
  const { memory, link, timers, sender } = await bench(3)
  link.isDown = true
  sender.send(ack('a', 0))
  await expect.poll(() => timers.pending).toBe(1)
  for (let i = 1; i <= 5; i++) sender.send(ack('a', i))
  link.isDown = false
  timers.advance(1000)
  await sender.flushed()
  expect(await valuesOf(memory)).toEqual(['a-3', 'a-4', 'a-5'])
  expect(sender.dropped).toBe(3)
})

test('close does not wait for a Kafka that is away', async () => {
  const { link, timers, sender } = await bench()
  link.isDown = true
  sender.send(ack('a', 1))
  await expect.poll(() => timers.pending).toBe(1)
  await sender.close()
  expect(sender.pending).toBe(1)
})
