import { type Broker, partitionKey, type TopicPartition } from '#core/ports'

/**
 * Resolves once the group has committed everything that stood in these topics at the call (up to their last
 * stable offsets). Offsets that hold no record (aborted ones, transaction markers) need no commit.
 * `changed` resolves when it is worth looking again.
 */
export async function awaitDrained(
  broker: Broker,
  groupId: string,
  topics: readonly string[],
  changed: () => Promise<void>,
): Promise<void> {
  const admin = broker.admin()
  try {
    const counts = await admin.partitions([...topics])
    let open: TopicPartition[] = [...counts].flatMap(([topic, count]) =>
      Array.from({ length: count }, (_, partition) => ({ topic, partition })),
    )
    const ends = await admin.offsets(open, 'stable')
    const endOf = (p: TopicPartition) => ends.get(partitionKey(p.topic, p.partition)) ?? 0
    for (;;) {
      const committed = await admin.committed(groupId, open)
      const behind = committed.filter((c) => c.offset < endOf(c))
      const still = await Promise.all(behind.map((c) => hasRecord(broker, c, c.offset, endOf(c))))
      open = behind.filter((_, i) => still[i])
      if (open.length === 0) return
      await changed()
    }
  } finally {
    await admin.close()
  }
}

/** True if a committed record lies in [from, end). */
async function hasRecord(
  broker: Broker,
  { topic, partition }: TopicPartition,
  from: number,
  end: number,
): Promise<boolean> {
  const found = Promise.withResolvers<boolean>()
  const reader = broker.readPartitions({
    partitions: [{ topic, partition, from: from < 0 ? 'earliest' : from }],
    until: 'stable',
    onBatch(cursor) {
      if (cursor.next()) found.resolve(cursor.offset < end) // the first one tells: all that follow lie behind it
    },
  })
  try {
    return await Promise.race([found.promise, reader.done.then(() => false)])
  } finally {
    await reader.close()
  }
}
