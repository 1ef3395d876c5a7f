import { setTimeout as sleep } from 'node:timers/promises'
import { ForestallError, partitionKey } from '#core/ports'
import type { TopicPartition } from '#core/ports'
import { type AssignmentKind, assignPartitions } from './assignor.ts'
import type { Cluster, Lane } from './cluster.ts'
import {
  decodeAssignment,
  decodeSubscription,
  encodeAssignment,
  encodeSubscription,
} from './group-protocol.ts'
import { createGroupRequests, type Joined } from './group-requests.ts'
import { watchJoin } from './join-watch.ts'
import { hasApiError, isTransient, memberIdOf, protocolError } from './retry.ts'

/** What a member has been given. */
export interface Membership {
  readonly generationId: number
  readonly memberId: string
  /** Held without interruption since the last generation. */
  readonly kept: TopicPartition[]
  /** New, or held before a generation that this member missed. */
  readonly added: TopicPartition[]
  /** To be let go: nobody has it before this member joins again. */
  readonly lost: TopicPartition[]
}

/** Settings of a membership. */
export interface MembershipOptions {
  readonly groupId: string
  readonly topics: readonly string[]
  readonly groupInstanceId: string | null
  /** False for a static member whose replacement is to find the assignment unchanged. */
  readonly leavesOnClose: boolean
  readonly sessionTimeoutMs: number
  readonly assignment: AssignmentKind
  /** True: what is held is kept through rebalances, as far as it stays here. */
  readonly cooperative: boolean
  /** Awaited before every join after the first. Heartbeats go on meanwhile. */
  onLeaving(): Promise<void>
  /** The group has gone on without this member: what it held may be someone else's already. */
  onEvicted(): Promise<void>
  onJoined(membership: Membership): void
  /** The membership is over: fenced, or refused by the brokers. */
  onLost(error: Error): void
}

/** A member of a consumer group (classic protocol); fetching is not its business. */
export interface GroupMembership {
  join(): Promise<void>
  /** Joins again, to let go of what was lost. */
  rejoin(): void
  /** How long ago it sent what the coordinator last took from it as from a member, ms; Infinity if it is none. */
  silenceMs(): number
  /** Leaves the group, or only stops. */
  close(): Promise<void>
}

const FIRST_DELAY_MS = 50
const LAST_DELAY_MS = 2000
/** A rebalance is noticed by a heartbeat: until the slowest has, nobody commits. */
const HEARTBEAT_MS = 200
const REBALANCE_MS = 60_000
const SYNC_SLACK_MS = 2000
const UNKNOWN_TOPIC = 3

/** The member id counts no more. */
const EVICTED = ['UNKNOWN_MEMBER_ID', 'ILLEGAL_GENERATION'] as const
const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/** Creates a member that is not joined yet. `lane` is for requests that are answered at once. */
export function createMembership(cluster: Cluster, lane: Lane, options: MembershipOptions): GroupMembership {
  const { groupId, topics, groupInstanceId, sessionTimeoutMs } = options
  const rebalanceTimeoutMs = Math.max(REBALANCE_MS, sessionTimeoutMs)
  const waiting = cluster.openLane('join', rebalanceTimeoutMs + 10_000)
  // A leader that does not deal loses its session; then the others are told to join again.
  const dealing = cluster.openLane('sync', sessionTimeoutMs + SYNC_SLACK_MS)
  const requests = createGroupRequests(cluster, lane, waiting, dealing, {
    groupId,
    protocol: `forestall-${options.assignment}`,
    sessionTimeoutMs,
    rebalanceTimeoutMs,
  })
  let memberId = ''
  /** Of the last assignment, and of the last join: a generation in between was missed. */
  let generationId = -1
  let joinedId = -1
  let held: readonly TopicPartition[] = []
  /** True from an assignment to the next join: heartbeats go out. */
  let beating = false
  let asking = false
  let heardOfMs = Number.NEGATIVE_INFINITY
  let joining: Promise<void> | null = null
  /** Another join is wanted after the present one. */
  let letGo = false
  let closed = false
  const timer = setInterval(() => void beat(), Math.min(HEARTBEAT_MS, Math.floor(sessionTimeoutMs / 4)))
  timer.unref()

  const self = () => ({ memberId, groupInstanceId })

  /** Notes when a request was sent that only members have answered. */
  async function noted<T>(request: () => Promise<T>): Promise<T> {
    const sentMs = performance.now()
    try {
      const answer = await request()
      heardOfMs = sentMs
      return answer
    } catch (error) {
      if (hasApiError(error, 'REBALANCE_IN_PROGRESS')) heardOfMs = sentMs
      throw error
    }
  }

  async function beat(): Promise<void> {
    if (!beating || asking || closed) return
    asking = true
    try {
      await noted(() => requests.heartbeat(self(), generationId))
    } catch (error) {
      if (!closed && beating) await refused(error)
    } finally {
      asking = false
    }
  }

  async function refused(error: unknown): Promise<void> {
    if (hasApiError(error, 'REBALANCE_IN_PROGRESS')) rejoin()
    else if (hasApiError(error, ...EVICTED)) {
      beating = false
      joining ??= evicted(error)
        .then(() => run(true))
        .finally(over)
    } else if (isTransient(error)) requests.moved(error)
    else end(error)
  }

  async function evicted(why: unknown): Promise<void> {
    if (hasApiError(why, 'UNKNOWN_MEMBER_ID')) memberId = ''
    held = []
    joinedId = -1
    heardOfMs = Number.NEGATIVE_INFINITY
    await options.onEvicted()
  }

  function end(error: unknown): void {
    beating = false
    heardOfMs = Number.NEGATIVE_INFINITY
    if (closed) return
    const fenced = hasApiError(error, 'FENCED_INSTANCE_ID')
    const text = `group ${groupId}: another process has joined as ${groupInstanceId}`
    options.onLost(fenced ? new ForestallError('INSTANCE_FENCED', text, { cause: error }) : asError(error))
  }

  /** Begins to join, unless that is under way. */
  function rejoin(): void {
    if (closed) return
    joining ??= run(true).finally(over)
  }

  function over(): void {
    joining = null
    if (letGo) rejoin()
    letGo = false
  }

  /** Joins, whatever passes; gives up on what no repetition mends. */
  async function run(again: boolean): Promise<void> {
    try {
      if (again) await options.onLeaving()
      await joinUntil(Number.POSITIVE_INFINITY)
    } catch (error) {
      end(error)
    }
  }

  async function joinUntil(untilMs: number): Promise<void> {
    for (let delayMs = FIRST_DELAY_MS; ; delayMs = Math.min(delayMs * 2, LAST_DELAY_MS)) {
      if (closed) return
      try {
        while (!(await attempt()));
        return
      } catch (error) {
        if (closed) return
        if (!isTransient(error) || performance.now() > untilMs) throw error
        requests.moved(error)
        await sleep(delayMs, undefined, { ref: false })
      }
    }
  }

  /** One join; false: the coordinator wants another one at once. */
  async function attempt(): Promise<boolean> {
    beating = false
    try {
      const subscription = { topics, owned: held, generationId: held.length > 0 ? generationId : -1 }
      const joined = await join(encodeSubscription(subscription))
      await adopt(joined)
      const dealt = joined.isLeader ? await deal(joined) : new Map<string, Buffer>()
      const assignment = decodeAssignment(await noted(() => requests.sync(self(), joined, dealt)))
      if (!closed) give(joined.generationId, assignment)
      return true
    } catch (error) {
      if (closed) return true
      if (hasApiError(error, 'MEMBER_ID_REQUIRED')) {
        memberId = memberIdOf(error)
        return false
      }
      if (hasApiError(error, 'REBALANCE_IN_PROGRESS')) return false
      if (!hasApiError(error, ...EVICTED)) throw error
      await evicted(error)
      return false
    }
  }

  /** As `requests.join`; fails as soon as its answer must be lost. */
  async function join(subscription: Buffer): Promise<Joined> {
    const answer = requests.join(self(), subscription)
    if (joinedId < 0) return answer
    const generation = joinedId
    const end = watchJoin({
      heartbeat: () => noted(() => requests.heartbeat(self(), generation)),
      failed: (error) => requests.moved(error),
      lost: () => {
        joinedId = -1
        waiting.drop()
      },
    })
    return answer.finally(end)
  }

  /** What is held counts only if no generation went by without this member. */
  async function adopt(joined: Joined): Promise<void> {
    const next = joined.memberId === memberId && [joinedId, joinedId + 1].includes(joined.generationId)
    if (!next && held.length > 0) await evicted(null)
    memberId = joined.memberId
    joinedId = joined.generationId
  }

  async function deal(joined: Joined): Promise<Map<string, Buffer>> {
    const members = joined.members.map((m) => ({ ...m, ...decodeSubscription(m.metadata) }))
    const wanted = [...new Set(members.flatMap((m) => m.topics))]
    const known = await cluster.topics(wanted, 0)
    const count = (topic: string) => known.get(topic)?.leaders.length ?? 0
    const unknown = topics.find((topic) => count(topic) === 0)
    if (unknown !== undefined) throw protocolError(UNKNOWN_TOPIC, unknown) // it may just be being created
    const dealt = assignPartitions(options.assignment, members, count)
    return new Map([...dealt].map(([id, partitions]) => [id, encodeAssignment(partitions)]))
  }

  function give(generation: number, assignment: readonly TopicPartition[]): void {
    const keys = (list: readonly TopicPartition[]) =>
      new Set(list.map((p) => partitionKey(p.topic, p.partition)))
    const [before, now] = [keys(held), keys(assignment)]
    const kept = assignment.filter((p) => before.has(partitionKey(p.topic, p.partition)))
    const added = assignment.filter((p) => !before.has(partitionKey(p.topic, p.partition)))
    const lost = held.filter((p) => !now.has(partitionKey(p.topic, p.partition)))
    generationId = generation
    if (options.cooperative) held = assignment
    beating = true
    options.onJoined({ generationId, memberId, kept, added, lost })
  }

  return {
    async join() {
      joining = joinUntil(performance.now() + cluster.options.retryForMs).finally(over)
      await joining
    },
    rejoin() {
      if (joining === null) rejoin()
      else letGo = true // the join that gave us what we let go of is just ending
    },
    silenceMs: () => performance.now() - heardOfMs,
    async close() {
      closed = true
      clearInterval(timer)
      await Promise.all([waiting.close(), dealing.close()])
      if (options.leavesOnClose && memberId !== '') await requests.leave(self()).catch(() => {})
      await joining?.catch(() => {})
    },
  }
}
