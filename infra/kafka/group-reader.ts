import { partitionKey } from '#core/ports'
import type { Assignment, GroupHandler, GroupReader, GroupReaderOptions, TopicPartition } from '#core/ports'
import type { Cluster } from './cluster.ts'
import { createFetcher } from './fetcher.ts'
import type { ReadFrom } from './fetch-partition.ts'
import { createMembership } from './group-membership.ts'
import type { Membership } from './group-membership.ts'
import { committedOffsets, listOffsets } from './offsets.ts'

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/**
 * A group member that hands out batches in place, `read_committed`. Between `onRevoked` and the next `onAssigned`
 * no batch is handed out; neither callback runs while another does. `close` revokes first, so that open work can
 * be committed; it must not be awaited inside a callback.
 */
export function createGroupReader(
  cluster: Cluster,
  options: GroupReaderOptions,
  handler: GroupHandler,
): GroupReader {
  const { groupId, topics, groupInstanceId = null, sessionTimeoutMs = 10_000, maxBytes, maxWaitMs } = options
  const lane = cluster.openLane('group')
  /** Counts rebalances: whatever was begun under an older number is void. */
  let round = 0
  let assigned = false
  /** Assignments and revocations run one after another. */
  let transitions: Promise<void> = Promise.resolve()
  let closing: Promise<void> | null = null

  const report = (error: unknown): void => {
    if (closing === null) handler.onError(asError(error))
  }
  const fetcher = createFetcher({
    cluster,
    readCommitted: true,
    ...(maxBytes === undefined ? {} : { maxBytes }),
    ...(maxWaitMs === undefined ? {} : { maxWaitMs }),
    onBatch: (cursor) => handler.onBatch(cursor),
    onError: report,
  })
  const membership = createMembership(cluster, lane, {
    groupId,
    topics,
    groupInstanceId,
    sessionTimeoutMs,
    assignment: options.assignment ?? 'aligned',
    onLeaving: revoke,
    onJoined: (m) => {
      const mine = ++round
      transitions = transitions
        .then(() => assign(m, mine))
        .catch((error: unknown) => {
          if (mine === round) report(error)
        })
    },
    onLost: (error) => void endMembership(error),
  })

  function revoke(): Promise<void> {
    round++
    const reading = fetcher.clear()
    transitions = handOver(transitions, reading).catch(report)
    return transitions
  }

  async function handOver(earlier: Promise<void>, reading: Promise<void>): Promise<void> {
    await reading
    await earlier
    await fetcher.clear() // an assignment that was under way may have begun to read
    if (!assigned) return
    assigned = false
    await handler.onRevoked()
  }

  async function endMembership(error: Error): Promise<void> {
    await revoke()
    report(error)
  }

  async function assign(m: Membership, mine: number): Promise<void> {
    const stale = () => mine !== round
    const committed = await committedOffsets(cluster, lane, groupId, m.partitions, stale)
    const fresh = committed.filter((c) => c.offset < 0)
    const earliest = await listOffsets(cluster, lane, fresh, 'earliest', stale)
    if (stale()) return
    assigned = true
    const { generationId, memberId } = m
    const assignment: Assignment = { generationId, memberId, groupInstanceId, partitions: committed }
    const starts = await handler.onAssigned(assignment)
    if (stale()) return
    const from = ({ topic, partition, offset }: TopicPartition & { offset: number }): ReadFrom => {
      const key = partitionKey(topic, partition)
      const wanted = starts.get(key) ?? (offset >= 0 ? offset : undefined)
      return { topic, partition, offset: wanted ?? earliest.get(key) ?? 0, explicit: wanted !== undefined }
    }
    fetcher.assign(committed.map(from), generationId)
  }

  async function close(): Promise<void> {
    await revoke()
    await fetcher.close()
    await membership.close()
    await lane.close()
  }

  return {
    start: () => membership.join(),
    pause: (partitions) => fetcher.pause(partitions),
    resume: (partitions) => fetcher.resume(partitions),
    close: () => (closing ??= close()),
  }
}
