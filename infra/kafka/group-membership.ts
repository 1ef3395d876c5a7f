import { setTimeout as sleep } from 'node:timers/promises'
import { Consumer, findErrorBy } from '@platformatic/kafka'
import type { ConsumerGroupJoinPayload } from '@platformatic/kafka'
import { ForestallError } from '#core/ports'
import type { TopicPartition } from '#core/ports'
import { APIS } from './apis.ts'
import { assignorOf } from './assignor.ts'
import type { Cluster, Lane } from './cluster.ts'
import { hasApiError } from './retry.ts'

/** What a member has been given. */
export interface Membership {
  readonly generationId: number
  readonly memberId: string
  readonly partitions: TopicPartition[]
}

/** Settings of a membership. */
export interface MembershipOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly groupInstanceId: string | null
  readonly sessionTimeoutMs: number
  readonly assignment: 'aligned' | 'single'
  /** Awaited before every (re)join: finish the work of the present generation here. Heartbeats go on meanwhile. */
  onLeaving(): Promise<void>
  onJoined(membership: Membership): void
  /** The membership is over: fenced, or refused by the brokers. */
  onLost(error: Error): void
}

/** A member of a consumer group (classic protocol), by the library's consumer; fetching is not its business. */
export interface GroupMembership {
  join(): Promise<void>
  /** Leaves the group; a static member only stops, so that its replacement finds the assignment unchanged. */
  close(): Promise<void>
}

const FIRST_DELAY_MS = 50
const LAST_DELAY_MS = 2000

/** Errors of a join that no repetition mends. The library says "Unknown topic" while metadata is being loaded, too. */
function isFinal(error: unknown): boolean {
  if (error instanceof ForestallError) return true
  if (!(error instanceof Error)) return false
  if (
    hasApiError(
      error,
      'REBALANCE_IN_PROGRESS',
      'UNKNOWN_MEMBER_ID',
      'ILLEGAL_GENERATION',
      'MEMBER_ID_REQUIRED',
    )
  )
    return false
  return findErrorBy(error, 'canRetry', false) !== null && !error.message.includes('Unknown topic')
}

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/** Creates a member that is not joined yet. */
export function createMembership(cluster: Cluster, lane: Lane, options: MembershipOptions): GroupMembership {
  const { groupId, topics, groupInstanceId, sessionTimeoutMs } = options
  const heartbeatMs = Math.max(50, Math.min(1000, Math.floor(sessionTimeoutMs / 4)))
  let held: { memberId: string; generationId: number } | null = null
  let closed = false

  const consumer = new Consumer({
    clientId: cluster.options.clientId,
    bootstrapBrokers: [...cluster.options.bootstrapBrokers],
    ...cluster.options.socket,
    retries: 10,
    retryDelay: 100,
    groupId,
    ...(groupInstanceId === null ? {} : { groupInstanceId }),
    autocommit: false,
    partitionAssigner: assignorOf(options.assignment),
    sessionTimeout: sessionTimeoutMs,
    rebalanceTimeout: Math.max(60_000, sessionTimeoutMs),
    heartbeatInterval: heartbeatMs,
    // The library awaits this before each JoinGroup: the only place where work can end under the old generation.
    protocolsMetadata: () => barrier(),
  })
  consumer.on('consumer:group:join', (payload: ConsumerGroupJoinPayload) => {
    held = { memberId: payload.memberId, generationId: payload.generationId ?? -1 }
    const partitions = (payload.assignments ?? []).flatMap((a) =>
      a.partitions.map((partition) => ({ topic: a.topic, partition })),
    )
    if (!closed) options.onJoined({ ...held, partitions })
  })
  // A failed rejoin is reported here and nowhere else, and the library tries no more.
  consumer.on('error', (error: Error) => {
    void rejoin(error)
  })

  const lost = (error: Error): void => {
    if (!closed) options.onLost(error)
  }

  async function heartbeat(member: { memberId: string; generationId: number }): Promise<void> {
    const request = await cluster.api(APIS.heartbeat)
    const connection = await lane.coordinator(0, groupId)
    await request.async(connection, groupId, member.generationId, member.memberId, groupInstanceId)
  }

  async function barrier(): Promise<Buffer> {
    const member = held
    held = null
    if (member !== null) {
      await refuseIfReplaced(member)
      // The library sends no heartbeats from here to the join: work that outlasts the session would be evicted.
      const timer = setInterval(() => {
        heartbeat(member).catch((error: unknown) => {
          if (!hasApiError(error, 'REBALANCE_IN_PROGRESS')) cluster.forgetCoordinator(0, groupId)
        })
      }, heartbeatMs)
      try {
        await options.onLeaving()
      } finally {
        clearInterval(timer)
      }
    }
    return Buffer.alloc(0)
  }

  /**
   * Asks the coordinator whether a replacement has taken our instance id. The library would answer
   * FENCED_INSTANCE_ID by joining again, which fences the replacement in turn, for ever.
   */
  async function refuseIfReplaced(member: { memberId: string; generationId: number }): Promise<void> {
    if (groupInstanceId === null || consumer.memberId !== null) return
    try {
      await heartbeat(member)
    } catch (error) {
      if (!hasApiError(error, 'FENCED_INSTANCE_ID')) return
      await options.onLeaving()
      throw new ForestallError(
        'INSTANCE_FENCED',
        `group ${groupId}: another process has joined as ${groupInstanceId}`,
        { cause: error },
      )
    }
  }

  async function rejoin(cause: unknown): Promise<void> {
    let error = cause
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LAST_DELAY_MS)) {
      if (isFinal(error)) return lost(asError(error))
      await sleep(delayMs)
      if (closed) return
      try {
        consumer.clearMetadata()
        await consumer.joinGroup({})
        return
      } catch (e) {
        error = e
      }
    }
  }

  async function join(): Promise<void> {
    consumer.topics.trackAll(...topics)
    const until = performance.now() + cluster.options.retryForMs
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LAST_DELAY_MS)) {
      try {
        await consumer.joinGroup({})
        return
      } catch (error) {
        if (closed) return
        if (isFinal(error) || performance.now() > until) throw error
        await sleep(delayMs)
        consumer.clearMetadata()
      }
    }
  }

  return {
    join,
    async close() {
      closed = true
      if (groupInstanceId !== null) {
        consumer.memberId = null // nothing to leave with: the session timeout decides when the slot is given up
        await new Promise<void>((resolve) => consumer.leaveGroup(true, () => resolve()))
      }
      await consumer.close(true)
    },
  }
}
