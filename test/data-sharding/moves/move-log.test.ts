import { expect, test } from 'vitest'
import type { DataMoveState } from '#schemas'
import { createCodec } from '#core/codec'
import { type Broker, ForestallError, systemClock, type TransactionalProducer } from '#core/ports'
import { createMemoryBroker } from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import { createMoveLog } from '../../../pipelines/data-sharding/moves/move-log.ts'

const TOPIC = 'moves'
const STATE: DataMoveState = {
  move_id: 'm',
  service: 's',
  segment: 1,
  kind: 'move',
  from: 'a',
  to: 'b',
  phase: 'copying',
  offset: -1,
  rows: -1,
  attempt: 1,
  began_at_ms: 0,
  at_ms: 0,
  reversible_until_ms: null,
  reason: '',
}

/** A broker whose transactions neither commit nor abort while it is away: what failed sticks until an abort. */
function away(broker: Broker): Broker & { isAway: boolean } {
  const own = {
    ...broker,
    isAway: false,
    transactionalProducer(options: Parameters<Broker['transactionalProducer']>[0]): TransactionalProducer {
      const inner = broker.transactionalProducer(options)
      let failure: Error | null = null
      const check = (): void => {
        if (own.isAway) throw (failure = new ForestallError('TRANSACTION_UNKNOWN', 'Kafka is away.'))
      }
      return Object.assign(Object.create(inner) as TransactionalProducer, {
        add(...args: Parameters<TransactionalProducer['add']>) {
          if (failure !== null) throw failure
          inner.add(...args)
        },
        async commit() {
          check()
          await inner.commit()
        },
        async abort() {
          check()
          failure = null
          await inner.abort()
        },
      })
    },
  }
  return own
}

test('a log that could not be written while Kafka was away can be written afterwards', async () => {
  const memory = createMemoryBroker()
  await memory.admin().ensureTopics([{ name: TOPIC, partitions: 1 }])
  const codec = createCodec(createMemoryRegistry())
  await codec.prepare([{ topic: TOPIC, record: 'DataMoveState' }])
  const broker = away(memory)
  const log = createMoveLog({ broker, codec, topic: TOPIC, service: 's', clock: systemClock })
  expect(await log.open()).toEqual([])
  broker.isAway = true
  for (let i = 0; i < 3; i++)
    await expect(log.append(STATE)).rejects.toMatchObject({ code: 'TRANSACTION_UNKNOWN' })
  broker.isAway = false
  // The first try cleans up.
  await log.append(STATE).catch(() => log.append(STATE))
  await log.append({ ...STATE, phase: 'joining' })
  expect(await log.open()).toMatchObject([{ move_id: 'm', phase: 'joining' }])
  await log.close()
  await memory.close()
})
