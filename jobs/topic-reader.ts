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

/** How a topic is read. */
export interface ScanOptions {
  /** Default 'end'; see PartitionReaderOptions. */
  readonly until?: 'end' | 'stable'
  /** Ends early after this time: a transaction that a dead writer has left open is waited for no longer. */
  readonly limitMs?: number
  readonly onError?: (error: Error) => void
}

/** Hands out every committed record that stands in a topic now; resolves with the number of its partitions. */
export async function scanTopic(
  source: TopicSource,
  topic: string,
  visit: (cursor: RecordCursor) => Promise<void> | void,
  { until = 'end', limitMs, onError }: ScanOptions = {},
): Promise<number> {
  const count = await partitionCount(source, topic)
  if (count === 0) return count
  const reader = source.readPartitions({
    partitions: Array.from({ length: count }, (_, partition) => ({ topic, partition, from: 'earliest' })),
    until,
    onBatch: async (cursor) => {
      while (cursor.next()) await visit(cursor)
    },
    ...(onError ? { onError } : {}),
  })
  const timer = limitMs === undefined ? undefined : setTimeout(() => void reader.close(), limitMs)
  try {
    await reader.done
  } finally {
    clearTimeout(timer)
    await reader.close()
  }
  return count
}

/** As `scanTopic`, decoded; marks (null values) are left out. Throws what the reader reports. */
export async function readTopic<R extends RecordName>(
  source: TopicSource,
  codec: RecordCodec,
  topic: string,
  record: R,
  visit: (value: RecordByName[R], cursor: RecordCursor) => Promise<void> | void,
  until: ScanOptions['until'] = 'end',
): Promise<void> {
  let failure: Error | null = null
  const decode = async (cursor: RecordCursor): Promise<void> => {
    const { buffer, valueStart, valueLength } = cursor
    if (valueLength < 0) return
    await visit(await codec.decodeAsync(buffer, valueStart, valueStart + valueLength, record), cursor)
  }
  await scanTopic(source, topic, decode, {
    until,
    onError: (error) => {
      failure ??= error
    },
  })
  if (failure !== null) throw failure as Error
}
