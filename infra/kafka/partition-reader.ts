import { ForestallError, partitionKey } from '#core/ports'
import type { PartitionReader, PartitionReaderOptions, TopicPartition } from '#core/ports'
import type { Cluster } from './cluster.ts'
import { createFetcher } from './fetcher.ts'
import type { ReadFrom } from './fetch-partition.ts'
import { listOffsets } from './offsets.ts'
import type { OffsetKind } from './offsets.ts'

type Start = PartitionReaderOptions['partitions'][number]

/** Resolves 'earliest' and 'latest' to offsets; numbers stay, and must exist. */
async function resolveStarts(
  starts: readonly Start[],
  list: (p: readonly TopicPartition[], kind: OffsetKind) => Promise<Map<string, number>>,
  latest: OffsetKind,
): Promise<ReadFrom[]> {
  const named = (from: Start['from']) => starts.filter((s) => s.from === from)
  const [first, last] = await Promise.all([
    list(named('earliest'), 'earliest'),
    list(named('latest'), latest),
  ])
  return starts.map(({ topic, partition, from }) => {
    const key = partitionKey(topic, partition)
    if (typeof from === 'number') return { topic, partition, offset: from, explicit: true }
    return {
      topic,
      partition,
      offset: (from === 'earliest' ? first : last).get(key) ?? 0,
      explicit: from === 'latest',
    }
  })
}

/**
 * Reads given partitions without a group. `until: 'end'` notes the uncommitted end first and then reads until the
 * position has reached it: it waits for open transactions, and passes tails of aborted and control batches.
 * `done` rejects with the first error if there is no `onError`.
 */
export function createPartitionReader(cluster: Cluster, options: PartitionReaderOptions): PartitionReader {
  const { partitions, readCommitted = true, until = 'forever' } = options
  const finished = Promise.withResolvers<void>()
  const goals = new Map<string, number>()
  let closed = false
  finished.promise.catch(() => {}) // a caller that only awaits close() must not crash the process

  const fail = (error: Error): void => {
    if (options.onError !== undefined) options.onError(error)
    else finished.reject(error)
  }
  const reach = (topic: string, partition: number, position: number): void => {
    const key = partitionKey(topic, partition)
    const goal = goals.get(key)
    if (goal === undefined || position < goal) return
    goals.delete(key)
    fetcher.pause([{ topic, partition }])
    if (goals.size === 0) finished.resolve()
  }
  const fetcher = createFetcher({
    cluster,
    readCommitted,
    onBatch: (cursor) => options.onBatch(cursor),
    onMoved: (p, position) => reach(p.topic, p.partition, position),
    onError: fail,
  })

  async function start(): Promise<void> {
    const lane = cluster.openLane('offsets')
    const list = (p: readonly TopicPartition[], kind: OffsetKind) =>
      listOffsets(cluster, lane, p, kind, () => closed)
    try {
      const ends =
        until === 'forever'
          ? new Map<string, number>()
          : await list(partitions, until === 'end' ? 'latest' : 'stable')
      const starts = await resolveStarts(partitions, list, readCommitted ? 'stable' : 'latest')
      if (closed) return
      for (const [key, offset] of ends) goals.set(key, offset)
      fetcher.add(starts, -1)
      for (const s of starts) reach(s.topic, s.partition, s.offset)
      if (until !== 'forever' && partitions.length === 0) finished.resolve()
    } finally {
      await lane.close()
    }
  }
  start().catch((error: unknown) => {
    if (!closed) fail(error instanceof Error ? error : new ForestallError('NOT_FOUND', String(error)))
  })

  return {
    done: finished.promise,
    position: (p) => fetcher.position(p),
    async close() {
      closed = true
      await fetcher.close()
      finished.resolve()
    },
  }
}
