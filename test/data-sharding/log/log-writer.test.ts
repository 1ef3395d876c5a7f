import { expect, onTestFinished, test } from 'vitest'
import { systemClock } from '#core/ports'
import { createMemoryBroker } from '../../../pipelines/core/runtime/testing/memory-broker.ts'
import { createLogWriter } from '../../../pipelines/data-sharding/log/index.ts'
import { blocksOf, LAYOUT, openTestCodec, TOPIC } from './log-bench.ts'

test('an insert that is repeated while the first is under way: both learn where its blocks lie', async () => {
  const broker = createMemoryBroker()
  onTestFinished(() => broker.close())
  await broker.admin().ensureTopics([{ name: TOPIC, partitions: LAYOUT.partitions }])
  const codec = await openTestCodec()
  const writer = createLogWriter({ broker, codec, topic: TOPIC, clock: systemClock, timeoutMs: 2000 })
  onTestFinished(() => writer.close())
  await writer.start()
  const blocks = blocksOf('repeat:db.t:x', [['k', '1']], { repeatToken: 'x' })
  const [first, second] = await Promise.all([writer.append(blocks), writer.append(blocks)])
  expect(first).toEqual(second)
})
