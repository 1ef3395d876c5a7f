import { topicName } from '#schemas'
import { type Broker, partitionKey, type TopicPartition } from '#core/ports'
import type { Sample } from '#infra/observability'

/** A scrape may come often; the broker is asked at most this often. */
const FRESH_MS = 5000

/** What a consumer group reads. */
export interface ReadBy {
  readonly group: string
  /** Of the topics, which samples leave out. */
  readonly prefix: string
  readonly topics: readonly string[]
  readonly labels: Readonly<Record<string, string>>
}

/**
 * Records that groups have not yet committed, by topic. It is the lag of the group as a whole, whichever process asks, and while the
 * broker does not answer there are no samples of it: `onWarning` hears why.
 */
export function createLag(
  broker: Broker,
  groups: readonly ReadBy[],
  onWarning: (error: Error) => void,
  nowMs: () => number = () => performance.now(),
): () => Promise<Sample[]> {
  const ask = async (): Promise<Sample[]> => {
    const admin = broker.admin()
    try {
      const all = await Promise.all(groups.map((group) => lagOf(admin, group)))
      return all.flat()
    } finally {
      await admin.close()
    }
  }
  const last = fresh(ask, onWarning, nowMs)
  return async () => (await last()) ?? []
}

/** Asks at most every few seconds, and gives the last answer until then; null where asking has failed: `onWarning` hears why. */
export function fresh<T>(
  ask: () => Promise<T>,
  onWarning: (error: Error) => void,
  nowMs: () => number = () => performance.now(),
): () => Promise<T | null> {
  let askedMs = Number.NEGATIVE_INFINITY
  let last: Promise<T | null> = Promise.resolve(null)
  return () => {
    if (nowMs() - askedMs >= FRESH_MS) {
      askedMs = nowMs()
      last = ask().catch((error: unknown) => {
        onWarning(error as Error)
        return null
      })
    }
    return last
  }
}

async function lagOf(
  admin: ReturnType<Broker['admin']>,
  { group, prefix, topics, labels }: ReadBy,
): Promise<Sample[]> {
  const counts = await admin.partitions(topics.map((topic) => topicName(topic, prefix)))
  const partitions: TopicPartition[] = [...counts].flatMap(([topic, count]) =>
    Array.from({ length: count }, (_, partition) => ({ topic, partition })),
  )
  const [ends, starts, committed] = await Promise.all([
    admin.offsets(partitions, 'stable'),
    admin.offsets(partitions, 'earliest'),
    admin.committed(group, partitions),
  ])
  const read = new Map(committed.map((c) => [partitionKey(c.topic, c.partition), c.offset]))
  const lags = new Map<string, number>()
  for (const { topic, partition } of partitions) {
    const key = partitionKey(topic, partition)
    const from = Math.max(read.get(key) ?? 0, starts.get(key) ?? 0)
    lags.set(topic, (lags.get(topic) ?? 0) + Math.max(0, (ends.get(key) ?? from) - from))
  }
  return [...lags].map(([topic, value]) => ({
    name: 'forestall_lag_records',
    help: 'Records that the group has not yet committed, by topic.',
    kind: 'gauge' as const,
    labels: { ...labels, topic: topic.slice(prefix.length) },
    value,
  }))
}
