import type { Broker, TopicPartition } from '../ports/index.ts'

/** Partitions of every topic whose name begins with `prefix`. */
export async function partitionCounts(broker: Broker, prefix: string): Promise<Map<string, number>> {
  const admin = broker.admin()
  try {
    const names = (await admin.listTopics()).filter((name) => name.startsWith(prefix))
    return await admin.partitions(names)
  } finally {
    await admin.close()
  }
}

/** First offsets, or next ones, per `topic:partition`. */
export async function offsetsOf(
  broker: Broker,
  partitions: readonly TopicPartition[],
  which: 'earliest' | 'latest',
): Promise<Map<string, number>> {
  const admin = broker.admin()
  try {
    return await admin.offsets([...partitions], which)
  } finally {
    await admin.close()
  }
}
