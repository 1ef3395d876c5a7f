import type { Assignment, OffsetToCommit, TopicPartition } from '../../ports/index.ts'
import { ForestallError } from '../../ports/index.ts'
import type { MemoryTransaction } from './memory-broker-log.ts'
import type { MemoryState } from './memory-broker-state.ts'

/** A member as its group sees it. */
export interface MemoryMember {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly string[]
  readonly assignment: 'aligned' | 'single'
  revoke(): Promise<void>
  assign(generationId: number, partitions: readonly TopicPartition[]): Promise<void>
  /** Another member has joined under the same instance id. */
  fenced(): Promise<void>
}

interface Seat {
  /** Null: a static member that has stopped, or any that was killed; its partitions stay with it until it expires. */
  member: MemoryMember | null
  memberId: string
  readonly groupInstanceId: string | null
  readonly topics: readonly string[]
  readonly assignment: 'aligned' | 'single'
  partitions: TopicPartition[]
}

/** A consumer group: rebalances run one after another, revoking all members before any is assigned. */
export class MemoryGroup {
  readonly #state: MemoryState
  readonly #groupId: string
  #seats: Seat[] = []
  #generationId = 0
  #queue: Promise<void> = Promise.resolve()

  constructor(state: MemoryState, groupId: string) {
    this.#state = state
    this.#groupId = groupId
  }

  get empty(): boolean {
    return this.#seats.length === 0
  }

  join(member: MemoryMember): Promise<void> {
    return this.#enqueue(async () => {
      const { memberId, groupInstanceId, topics, assignment } = member
      const seat =
        groupInstanceId === null ? undefined : this.#seats.find((s) => s.groupInstanceId === groupInstanceId)
      if (seat === undefined) {
        this.#seats.push({ member, memberId, groupInstanceId, topics, assignment, partitions: [] })
        return this.#rebalance()
      }
      const replaced = seat.member
      seat.member = member
      seat.memberId = memberId
      await replaced?.fenced()
      await member.assign(this.#generationId, seat.partitions)
    })
  }

  /** A static member keeps its seat; a dynamic one gives it up. */
  leave(member: MemoryMember): Promise<void> {
    return this.#enqueue(async () => {
      const seat = this.#seats.find((s) => s.member === member)
      if (seat === undefined) return
      seat.member = null
      if (seat.groupInstanceId === null) await this.#giveUp([seat])
    })
  }

  /** The member's process is gone without a word: nobody notices until `expire`. */
  kill(member: MemoryMember): void {
    for (const seat of this.#seats) if (seat.member === member) seat.member = null
  }

  /** Session timeouts: whoever is gone loses its seat. */
  expire(): Promise<void> {
    return this.#enqueue(() => this.#giveUp(this.#seats.filter((s) => s.member === null)))
  }

  /** Adds offsets to a transaction. Throws GENERATION_STALE if the group has moved on. */
  addOffsets(
    transaction: MemoryTransaction,
    assignment: Assignment,
    offsets: readonly OffsetToCommit[],
  ): void {
    const seat = this.#seats.find((s) => s.memberId === assignment.memberId)
    if (seat === undefined || assignment.generationId !== this.#generationId) {
      const { generationId, memberId } = assignment
      throw new ForestallError(
        'GENERATION_STALE',
        `group ${this.#groupId} has left generation ${generationId} of ${memberId} behind`,
      )
    }
    this.#state.offsets(this.#groupId).add(transaction, offsets)
  }

  #enqueue(work: () => Promise<void>): Promise<void> {
    const result = this.#queue.then(work)
    this.#queue = result.catch(() => {})
    return result
  }

  async #giveUp(seats: readonly Seat[]): Promise<void> {
    if (seats.length === 0) return
    this.#seats = this.#seats.filter((s) => !seats.includes(s))
    await this.#rebalance()
  }

  async #rebalance(): Promise<void> {
    for (const seat of this.#seats) await seat.member?.revoke()
    this.#generationId++
    this.#distribute()
    for (const seat of this.#seats) await seat.member?.assign(this.#generationId, seat.partitions)
  }

  /** As real Kafka does for us (see `GroupReaderOptions.assignment`), members in the order of joining. */
  #distribute(): void {
    for (const seat of this.#seats) seat.partitions = []
    const topics = [...new Set(this.#seats.flatMap((s) => s.topics))].sort()
    for (const topic of topics) {
      const takers = this.#seats.filter((s) => s.topics.includes(topic))
      const count = this.#state.topics.get(topic)?.length ?? 0
      for (let partition = 0; partition < count; partition++)
        takers[takers[0]?.assignment === 'single' ? 0 : partition % takers.length]?.partitions.push({
          topic,
          partition,
        })
    }
  }
}
