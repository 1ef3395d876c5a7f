import { ForestallError, partitionKey } from '#core/ports'
import type { CommittedOffset, TopicPartition } from '#core/ports'
import { APIS } from './apis.ts'
import type { Cluster, Lane } from './cluster.ts'
import { isNetworkError, isTransient, retry } from './retry.ts'

/** Which offset of a partition: the first one kept, the uncommitted end, or the last stable one. */
export type OffsetKind = 'earliest' | 'latest' | 'stable'

/** Groups partitions into the shape of Kafka's requests: a list of topics, each with its partitions. */
export function byTopic<P extends TopicPartition, T>(
  partitions: readonly P[],
  convert: (partition: P) => T,
): { name: string; partitions: T[] }[] {
  const topics = new Map<string, T[]>()
  for (const p of partitions) {
    const list = topics.get(p.topic)
    if (list === undefined) topics.set(p.topic, [convert(p)])
    else list.push(convert(p))
  }
  return [...topics].map(([name, list]) => ({ name, partitions: list }))
}

async function groupByLeader(
  cluster: Cluster,
  partitions: readonly TopicPartition[],
): Promise<Map<number, TopicPartition[]>> {
  await cluster.topics([...new Set(partitions.map((p) => p.topic))])
  const nodes = new Map<number, TopicPartition[]>()
  for (const p of partitions) {
    const node = await cluster.leader(p.topic, p.partition)
    nodes.set(node, [...(nodes.get(node) ?? []), p])
  }
  return nodes
}

async function listOnce(
  cluster: Cluster,
  lane: Lane,
  partitions: readonly TopicPartition[],
  kind: OffsetKind,
): Promise<Map<string, number>> {
  const request = await cluster.api(APIS.listOffsets)
  const timestamp = kind === 'earliest' ? -2n : -1n
  const isolation = kind === 'stable' ? 1 : 0
  const found = new Map<string, number>()
  const ask = async ([node, list]: [number, TopicPartition[]]) => {
    const topics = byTopic(list, (p) => ({ partitionIndex: p.partition, currentLeaderEpoch: -1, timestamp }))
    const answer = await request.async(await lane.node(node), -1, isolation, topics)
    for (const topic of answer.topics) {
      for (const p of topic.partitions)
        found.set(partitionKey(topic.name, p.partitionIndex), Number(p.offset))
    }
  }
  await Promise.all([...(await groupByLeader(cluster, partitions))].map(ask))
  return found
}

/** Offsets by `topic:partition`; waits for leaders while they move. */
export async function listOffsets(
  cluster: Cluster,
  lane: Lane,
  partitions: readonly TopicPartition[],
  kind: OffsetKind,
  stop: () => boolean = () => false,
): Promise<Map<string, number>> {
  if (partitions.length === 0) return new Map()
  return retry(() => listOnce(cluster, lane, partitions, kind), {
    forMs: cluster.options.retryForMs,
    onRetry: (error) => cluster.failed(error),
    stop,
  })
}

/** Retries on the group's coordinator, which is looked up again when it moves or is lost. */
export function onGroupCoordinator<T>(
  cluster: Cluster,
  lane: Lane,
  groupId: string,
  operation: (connection: Awaited<ReturnType<Lane['coordinator']>>) => Promise<T>,
  stop: () => boolean = () => false,
): Promise<T> {
  return retry(async () => operation(await lane.coordinator(0, groupId)), {
    forMs: cluster.options.retryForMs,
    delayMs: 20,
    maxDelayMs: 500,
    when: isTransient,
    onRetry: (error) => {
      cluster.forgetCoordinator(0, groupId)
      if (isNetworkError(error)) cluster.failed(error)
    },
    stop,
  })
}

/**
 * What a group has committed, with metadata; offset -1 where it has nothing. `requireStable`: while a transaction
 * that carries offsets of the group is being completed the broker says so, and we wait: a reader that took over
 * with the older offset would process the difference twice.
 */
export async function committedOffsets(
  cluster: Cluster,
  lane: Lane,
  groupId: string,
  partitions: readonly TopicPartition[],
  stop: () => boolean = () => false,
): Promise<CommittedOffset[]> {
  if (partitions.length === 0) return []
  const request = await retry(() => cluster.api(APIS.offsetFetch), {
    forMs: cluster.options.retryForMs,
    stop,
  })
  const topics = byTopic(partitions, (p) => p.partition).map((t) => ({
    name: t.name,
    partitionIndexes: t.partitions,
  }))
  const answer = await onGroupCoordinator(
    cluster,
    lane,
    groupId,
    (connection) => request.async(connection, [{ groupId, memberEpoch: -1, topics }], true),
    stop,
  )
  const known = new Map<string, { offset: number; metadata: string }>()
  for (const topic of answer.groups[0]?.topics ?? []) {
    for (const p of topic.partitions) {
      known.set(partitionKey(topic.name, p.partitionIndex), {
        offset: Number(p.committedOffset),
        metadata: p.metadata ?? '',
      })
    }
  }
  return partitions.map(({ topic, partition }) => {
    const offset = known.get(partitionKey(topic, partition))
    if (offset === undefined)
      throw new ForestallError(
        'NOT_FOUND',
        `Kafka did not answer for ${topic}-${partition} of group ${groupId}`,
      )
    return { topic, partition, ...offset }
  })
}
