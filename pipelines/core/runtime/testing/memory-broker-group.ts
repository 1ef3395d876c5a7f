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
  readonly cooperative: boolean
  revoke(): Promise<void>
  assign(generationId: number, partitions: readonly TopicPartition[]): Promise<void>
  /** Cooperative: a rebalance begins. */
  announce(): Promise<void>
  /** Cooperative: what stays, and what is to be let go now, under this generation. */
  keep(generationId: number, kept: readonly TopicPartition[], lost: readonly TopicPartition[]): Promise<void>
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
  readonly cooperative: boolean
  partitions: TopicPartition[]
}

const has = (list: readonly TopicPartition[], { topic, partition }: TopicPartition): boolean =>
  list.some((p) => p.topic === topic && p.partition === partition)

/**
 * A consumer group: rebalances run one after another. Members that are not cooperative let go of everything before
 * any is assigned; cooperative ones only of what they lose, which then waits for the next rebalance.
 */
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
      const { memberId, groupInstanceId, topics, assignment, cooperative } = member
      const seat =
        groupInstanceId === null ? undefined : this.#seats.find((s) => s.groupInstanceId === groupInstanceId)
      if (seat === undefined) {
        this.#seats.push({
          member,
          memberId,
          groupInstanceId,
          topics,
          assignment,
          cooperative,
          partitions: [],
        })
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
    for (let again = true; again; ) again = await this.#generation()
  }

  /** One generation; true if what was let go in it is still to be given away. */
  async #generation(): Promise<boolean> {
    for (const seat of this.#seats) await (seat.cooperative ? seat.member?.announce() : seat.member?.revoke())
    this.#generationId++
    const target = this.#distribute()
    const held = this.#seats.filter((s) => s.cooperative).flatMap((s) => s.partitions)
    let lostAny = false
    const given = new Map<Seat, TopicPartition[]>()
    for (const seat of this.#seats) {
      const wanted = target.get(seat) ?? []
      const kept = seat.cooperative ? seat.partitions.filter((p) => has(wanted, p)) : []
      const lost = seat.cooperative ? seat.partitions.filter((p) => !has(wanted, p)) : []
      given.set(
        seat,
        wanted.filter((p) => !has(kept, p) && !has(held, p)),
      )
      if (lost.length > 0) lostAny = true
      seat.partitions = kept
      if (seat.cooperative) await seat.member?.keep(this.#generationId, kept, lost)
    }
    for (const [seat, added] of given) {
      seat.partitions = [...seat.partitions, ...added]
      if (added.length > 0 || !seat.cooperative) await seat.member?.assign(this.#generationId, added)
    }
    return lostAny
  }

  /** As real Kafka does for us (see `GroupReaderOptions.assignment`): who holds something keeps it as far as is fair. */
  #distribute(): Map<Seat, TopicPartition[]> {
    const partitionsOf = (topic: string) => this.#state.topics.get(topic)?.length ?? 0
    const dealt = new Map<Seat, TopicPartition[]>(this.#seats.map((s) => [s, []]))
    for (const topic of [...new Set(this.#seats.flatMap((s) => s.topics))].sort()) {
      const takers = this.#seats.filter((s) => s.topics.includes(topic))
      const first = takers[0]
      if (first === undefined) continue
      const owners = this.#owners(takers)
      for (let partition = 0; partition < partitionsOf(topic); partition++)
        dealt
          .get(first.assignment === 'single' ? first : (owners[partition] ?? first))
          ?.push({ topic, partition })
    }
    return dealt
  }

  /** The taker of each partition number: the same one for all topics. */
  #owners(takers: readonly Seat[]): Seat[] {
    const numbers = Math.max(
      0,
      ...takers.flatMap((s) => s.topics).map((t) => this.#state.topics.get(t)?.length ?? 0),
    )
    const most = Math.ceil(numbers / takers.length)
    const least = Math.floor(numbers / takers.length)
    let larger = numbers % takers.length
    const owners: (Seat | undefined)[] = Array.from({ length: numbers })
    const counts = new Map<Seat, number>(takers.map((s) => [s, 0]))
    const give = (n: number, seat: Seat): boolean => {
      const count = counts.get(seat) ?? 0
      if (count >= most || (count >= least && larger === 0)) return false
      if (count >= least) larger--
      counts.set(seat, count + 1)
      owners[n] = seat
      return true
    }
    for (const seat of takers) {
      if (!seat.cooperative) continue
      for (const n of new Set(seat.partitions.map((p) => p.partition)))
        if (owners[n] === undefined) give(n, seat)
    }
    for (let n = 0, turn = 0; n < numbers; n++) {
      if (owners[n] !== undefined) continue
      while (!give(n, takers[turn % takers.length] as Seat)) turn++
      turn++
    }
    return owners as Seat[]
  }
}
