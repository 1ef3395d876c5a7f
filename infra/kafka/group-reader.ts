import { partitionKey } from '#core/ports'
import type { Assignment, GroupHandler, GroupReader, GroupReaderOptions, TopicPartition } from '#core/ports'
import type { Cluster } from './cluster.ts'
import { createFetcher } from './fetcher.ts'
import type { ReadFrom } from './fetch-partition.ts'
import { createMembership } from './group-membership.ts'
import type { Membership } from './group-membership.ts'
import { committedOffsets, listOffsets } from './offsets.ts'

/** However short the session. */
const LEAST_ANSWER_MS = 1000

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))
const keyOf = (p: TopicPartition): string => partitionKey(p.topic, p.partition)

/**
 * A group member that hands out batches in place, `read_committed`. Callbacks of assignments and revocations run one
 * after another (but see `GroupHandler.onAssigned`). A member that is not cooperative is handed no batch between
 * `onRevoked` and the next `onAssigned`. `close` revokes first, so that open work can be committed; it must not be
 * awaited inside a callback.
 */
export function createGroupReader(
  cluster: Cluster,
  options: GroupReaderOptions,
  handler: GroupHandler,
): GroupReader {
  const { groupId, topics, groupInstanceId = null, sessionTimeoutMs = 10_000, maxBytes, maxWaitMs } = options
  const cooperative = options.cooperative === true
  // A coordinator that hangs is found before it has missed a session of heartbeats.
  const lane = cluster.openLane(
    'group',
    Math.min(cluster.options.socket.requestTimeout, Math.max(LEAST_ANSWER_MS, sessionTimeoutMs / 3)),
  )
  /** What is held, and since which assignment: what was begun under an older one is void. */
  const held = new Map<string, Membership>()
  /** Counts revocations of everything. */
  let round = 0
  let assigned = false
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
    reuseBuffers: options.reuseBuffers ?? false,
    onBatch: (cursor) => handler.onBatch(cursor),
    onError: report,
  })
  const membership = createMembership(cluster, lane, {
    groupId,
    topics,
    groupInstanceId,
    leavesOnClose: groupInstanceId === null || options.leavesOnClose === true,
    sessionTimeoutMs,
    assignment: options.assignment ?? 'aligned',
    cooperative,
    onLeaving: () => (cooperative ? announce() : revoke()),
    onEvicted: revoke,
    onJoined: (m) => {
      const mine = round
      transitions = transitions
        .then(() => move(m, mine))
        .catch((error: unknown) => {
          if (mine === round) report(error)
        })
    },
    onLost: (error) => void endMembership(error),
  })

  function announce(): Promise<void> {
    transitions = transitions
      .then(() => (assigned ? handler.onRebalance?.() : undefined))
      .catch((error: unknown) => report(error))
    return transitions
  }

  function revoke(): Promise<void> {
    round++
    held.clear()
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

  /** From one generation to the next. */
  async function move(m: Membership, mine: number): Promise<void> {
    if (mine !== round) return
    const wasHolding = assigned
    assigned = true
    for (const p of m.lost) held.delete(keyOf(p))
    fetcher.drop(m.lost)
    if (cooperative && wasHolding) {
      const kept = await committedOffsets(cluster, lane, groupId, m.kept, () => mine !== round)
      if (mine !== round) return
      await handler.onKept?.(assignmentOf(m, kept), m.lost)
    }
    if (mine !== round) return
    if (m.lost.length > 0) membership.rejoin()
    for (const p of m.added) held.set(keyOf(p), m)
    const taken = m.added.length > 0 || !cooperative || !wasHolding ? take(m, mine) : undefined
    if (!cooperative) return taken
    taken?.catch((error: unknown) => {
      if (mine === round) report(error)
    })
  }

  const assignmentOf = (m: Membership, partitions: Assignment['partitions']): Assignment => ({
    generationId: m.generationId,
    memberId: m.memberId,
    groupInstanceId,
    partitions,
  })

  /** Begins to read what is new; of a cooperative member further rebalances go by meanwhile. */
  async function take(m: Membership, mine: number): Promise<void> {
    const stale = () => mine !== round
    const committed = await committedOffsets(cluster, lane, groupId, m.added, stale)
    const fresh = committed.filter((c) => c.offset < 0)
    const earliest = await listOffsets(cluster, lane, fresh, 'earliest', stale)
    if (stale()) return
    const ours = committed.filter((p) => held.get(keyOf(p)) === m)
    if (ours.length < committed.length && ours.length === 0) return // lost again meanwhile
    const starts = await handler.onAssigned(assignmentOf(m, ours))
    if (stale()) return
    const from = ({ topic, partition, offset }: TopicPartition & { offset: number }): ReadFrom => {
      const key = partitionKey(topic, partition)
      const wanted = starts.get(key) ?? (offset >= 0 ? offset : undefined)
      return { topic, partition, offset: wanted ?? earliest.get(key) ?? 0, explicit: wanted !== undefined }
    }
    fetcher.add(ours.filter((p) => held.get(keyOf(p)) === m).map(from), m.generationId)
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
    silenceMs: () => membership.silenceMs(),
    close: () => (closing ??= close()),
  }
}
