import type { TopicPartition } from '#core/ports'
import type { ReadPartition } from './delivery.ts'
import type { FetchTopic } from './fetch-response.ts'
import { byTopic } from './offsets.ts'

/** Where to start a partition. `explicit`: the offset must exist; otherwise the reader falls back to the earliest. */
export interface ReadFrom extends TopicPartition {
  readonly offset: number
  readonly explicit: boolean
}

/** A partition with what a fetcher knows of its leader. */
export interface FetchPartition extends ReadPartition {
  /** Node id, -1 while unknown. */
  leader: number
  topicId: string
  inFlight: boolean
  /** Failures in a row: its leader is looked up ever less often. */
  failures: number
  /** Since when the brokers do not know the topic; null while they do. */
  unknownSinceMs: number | null
}

/** A partition that has not been fetched yet. */
export function createFetchPartition(
  { topic, partition, offset, explicit }: ReadFrom,
  generationId: number,
): FetchPartition {
  return {
    topic,
    partition,
    generationId,
    explicit,
    position: offset,
    fetchOffset: offset,
    round: 0,
    paused: false,
    stopped: false,
    leader: -1,
    topicId: '',
    inFlight: false,
    failures: 0,
    unknownSinceMs: null,
  }
}

/** Drops what is fetched and queued, and goes back to the first offset that was not handed out. */
export function rewind(p: ReadPartition): void {
  p.round++
  p.fetchOffset = p.position
}

/** Reads the partition no more. */
export function stop(p: ReadPartition): void {
  rewind(p)
  p.stopped = true
}

/** The broker serves partitions in the order of the request until its limit is reached: begin with another each time. */
export function rotate<T>(list: readonly T[], turn: number): T[] {
  const first = turn % list.length
  return [...list.slice(first), ...list.slice(0, first)]
}

/** Under which key a fetch names the topic of a partition: by name in version 12, by id above. */
export const topicKey = (p: FetchPartition, byName: boolean): string => (byName ? p.topic : p.topicId)

/** The partitions in the shape of a fetch request. */
export function toFetchTopics(
  list: readonly FetchPartition[],
  byName: boolean,
  partitionMaxBytes: number,
): FetchTopic[] {
  const topics = byTopic(list, (p) => ({
    topicId: topicKey(p, byName),
    partition: p.partition,
    currentLeaderEpoch: -1,
    fetchOffset: BigInt(p.fetchOffset),
    lastFetchedEpoch: -1,
    partitionMaxBytes,
  }))
  return topics.map((t) => ({ topicId: t.partitions[0]?.topicId ?? '', partitions: t.partitions }))
}
