import { expect, test } from 'vitest'
import type { Flow } from '#schemas'
import { createCodec } from '#core/codec'
import { systemClock } from '#core/ports'
// The runtime's test kit is not part of its index.
import { createMemoryBroker } from '../../pipelines/core/runtime/testing/memory-broker.ts'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { createFlowStreams } from '../../pipelines/traffic-routing/dataplane.ts'

const flow = (stream: string): Flow => ({
  event_time_ms: 1,
  origin: 'test',
  stream,
  bytes: 1,
  packets: 1,
  protocol: 6,
  src_port: 1,
  dst_port: 2,
  flow_hash: 3,
  duration_ms: 0,
  src_addr: '',
  dst_addr: '',
  src_region: '',
  dst_region: '',
  sampling_rate: 1,
})

test('the stream is read from the value, whatever the key; what is no flow has none', async () => {
  const broker = createMemoryBroker()
  const codec = createCodec(createMemoryRegistry())
  await codec.prepare([{ topic: 'flows', record: 'Flow' }])
  await broker.admin().ensureTopics([{ name: 'flows', partitions: 1 }])
  const producer = broker.producer()
  const valid = codec.encode('flows', 'Flow', flow('ATLAng>CHINng'))
  const unknownSchema = Buffer.from(valid)
  unknownSchema.writeUInt32BE(999, 1)
  const values = [
    valid,
    null,
    Buffer.from('text'),
    valid.subarray(0, 12),
    unknownSchema,
    codec.encode('flows', 'Flow', flow('é>ü')),
  ]
  for (const value of values) producer.add('flows', 0, systemClock.nowMs(), null, value)
  const streamOf = createFlowStreams(codec)
  const streams: (string | null)[] = []
  const reader = broker.readPartitions({
    partitions: [{ topic: 'flows', partition: 0, from: 'earliest' }],
    until: 'stable',
    onBatch: async (cursor) => {
      while (cursor.next()) streams.push(await streamOf(cursor))
    },
  })
  await reader.done
  await reader.close()
  expect(streams).toEqual(['ATLAng>CHINng', null, null, null, null, 'é>ü'])
})
