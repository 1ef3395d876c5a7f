import type { Connection } from '@platformatic/kafka'
import { APIS } from './apis.ts'
import type { Cluster, Lane } from './cluster.ts'
import { isNetworkError, retry } from './retry.ts'

const PROTOCOL_TYPE = 'consumer'

/** Who a member is to its group. */
export interface Member {
  readonly memberId: string
  readonly groupInstanceId: string | null
}

/** The answer to a join; `members` is only filled for the leader that has to deal the partitions. */
export interface Joined {
  readonly memberId: string
  readonly generationId: number
  readonly isLeader: boolean
  readonly protocol: string
  readonly members: readonly (Member & { readonly metadata: Buffer })[]
}

/** Settings of a member that travel with its requests. */
export interface GroupRequestOptions {
  readonly groupId: string
  /** Name of the way in which partitions are dealt: all members must know it. */
  readonly protocol: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
}

/** The requests of a member; one attempt each, except `leave`. A coordinator that has moved is forgotten by `moved`. */
export interface GroupRequests {
  /** Waits until all members have joined. */
  join(member: Member, metadata: Buffer): Promise<Joined>
  /** Waits until the leader has dealt. */
  sync(member: Member, joined: Joined, assignments: ReadonlyMap<string, Buffer>): Promise<Buffer>
  heartbeat(member: Member, generationId: number): Promise<void>
  leave(member: Member): Promise<void>
  /** After a failure: the coordinator is looked up anew. */
  moved(error: unknown): void
}

const LEAVE_FOR_MS = 2000

/** `waiting` and `dealing`: lanes of their own, since a join is answered only once all have joined, and a sync once the leader has dealt. */
export function createGroupRequests(
  cluster: Cluster,
  lane: Lane,
  waiting: Lane,
  dealing: Lane,
  { groupId, protocol, sessionTimeoutMs, rebalanceTimeoutMs }: GroupRequestOptions,
): GroupRequests {
  const coordinator = (on: Lane): Promise<Connection> => on.coordinator(0, groupId)

  function moved(error: unknown): void {
    cluster.forgetCoordinator(0, groupId)
    if (isNetworkError(error)) cluster.failed(error)
  }

  return {
    async join({ memberId, groupInstanceId }, metadata) {
      const request = await cluster.api(APIS.joinGroup)
      const answer = await request.async(
        await coordinator(waiting),
        groupId,
        sessionTimeoutMs,
        rebalanceTimeoutMs,
        memberId,
        groupInstanceId,
        PROTOCOL_TYPE,
        [{ name: protocol, metadata }],
        null,
      )
      return {
        memberId: answer.memberId,
        generationId: answer.generationId,
        // A static leader that comes back finds what it dealt before: there is nothing to deal.
        isLeader: answer.leader === answer.memberId && !answer.skipAssignment,
        protocol: answer.protocolName ?? protocol,
        members: answer.members.map((m) => ({
          memberId: m.memberId,
          groupInstanceId: m.groupInstanceId ?? null,
          metadata: m.metadata,
        })),
      }
    },
    async sync({ memberId, groupInstanceId }, joined, assignments) {
      const request = await cluster.api(APIS.syncGroup)
      const answer = await request.async(
        await coordinator(dealing),
        groupId,
        joined.generationId,
        memberId,
        groupInstanceId,
        PROTOCOL_TYPE,
        joined.protocol,
        [...assignments].map(([id, assignment]) => ({ memberId: id, assignment })),
      )
      return answer.assignment
    },
    async heartbeat({ memberId, groupInstanceId }, generationId) {
      const request = await cluster.api(APIS.heartbeat)
      await request.async(await coordinator(lane), groupId, generationId, memberId, groupInstanceId)
    },
    async leave(member) {
      const request = await cluster.api(APIS.leaveGroup)
      await retry(async () => request.async(await coordinator(lane), groupId, [{ ...member }]), {
        forMs: LEAVE_FOR_MS,
        onRetry: moved,
      })
    },
    moved,
  }
}
