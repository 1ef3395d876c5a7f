import type { RecordByName, RecordName } from '#schemas'
import type { RecordCodec } from '#core/codec'
import type { BrokerAdmin, PartitionReader, PartitionReaderOptions, RecordCursor } from '#core/ports'

/** What an account reads topics with: a broker, or a reader of another make. */
export interface TopicSource {
  admin(): Pick<BrokerAdmin, 'partitions' | 'offsets' | 'close'>
  readPartitions(options: PartitionReaderOptions): PartitionReader
}

/** Partitions of a topic; 0 if it does not exist. */
export async function partitionCount(broker: TopicSource, topic: string): Promise<number> {
  const admin = broker.admin()
  try {
    return (await admin.partitions([topic])).get(topic) ?? 0
  } finally {
    await admin.close()
  }
}

/** Hands out every committed record that stands in a topic now, marks (null values) left out. */
export async function readTopic<R extends RecordName>(
  broker: TopicSource,
  codec: RecordCodec,
  topic: string,
  record: R,
  visit: (value: RecordByName[R], cursor: RecordCursor) => Promise<void> | void,
): Promise<void> {
  const partitions = await partitionCount(broker, topic)
  if (partitions === 0) return
  let failure: Error | null = null
  const reader = broker.readPartitions({
    partitions: Array.from({ length: partitions }, (_, partition) => ({
      topic,
      partition,
      from: 'earliest',
    })),
    until: 'end',
    onBatch: async (cursor) => {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        if (valueLength < 0) continue
        await visit(await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, record), cursor)
      }
    },
    onError: (error) => {
      failure ??= error
    },
  })
  try {
    await reader.done
  } finally {
    await reader.close()
  }
  if (failure !== null) throw failure
}
