import type { CommittedOffset, OffsetToCommit, TopicPartition } from '../../ports/index.ts'
import { ForestallError, partitionKey } from '../../ports/index.ts'
import type { MemoryTransaction, PartitionLog } from './memory-broker-log.ts'

interface PendingOffsets {
  readonly transaction: MemoryTransaction
  readonly offsets: readonly OffsetToCommit[]
}

/** Offsets of a consumer group, with those that wait for their transaction. */
export class GroupOffsets {
  readonly #committed = new Map<string, CommittedOffset>()
  #pending: PendingOffsets[] = []

  add(transaction: MemoryTransaction, offsets: readonly OffsetToCommit[]): void {
    this.#pending.push({ transaction, offsets })
  }

  end(transaction: MemoryTransaction): void {
    const ended = this.#pending.filter((p) => p.transaction === transaction)
    this.#pending = this.#pending.filter((p) => p.transaction !== transaction)
    if (transaction.state !== 'committed') return
    for (const { offsets } of ended)
      for (const o of offsets) this.#committed.set(partitionKey(o.topic, o.partition), { ...o })
  }

  /** Stable offsets: waits for transactions that carry offsets of these partitions. */
  async committed(partitions: readonly TopicPartition[]): Promise<CommittedOffset[]> {
    const keys = new Set(partitions.map((p) => partitionKey(p.topic, p.partition)))
    const concerns = (p: PendingOffsets) =>
      p.offsets.some((o) => keys.has(partitionKey(o.topic, o.partition)))
    for (let p = this.#pending.find(concerns); p !== undefined; p = this.#pending.find(concerns)) {
      await p.transaction.ended
    }
    return partitions.map(
      ({ topic, partition }) =>
        this.#committed.get(partitionKey(topic, partition)) ?? { topic, partition, offset: -1, metadata: '' },
    )
  }
}

/** Logs, group offsets and producers of a broker in memory. */
export class MemoryState {
  readonly topics = new Map<string, PartitionLog[]>()
  readonly #groups = new Map<string, GroupOffsets>()
  readonly #producers = new Map<string, { epoch: number; transaction: MemoryTransaction | null }>()
  readonly #watchers = new Set<() => void>()

  /** The log of a partition. Throws NOT_FOUND. */
  log(topic: string, partition: number): PartitionLog {
    const log = this.topics.get(topic)?.[partition]
    if (log === undefined)
      throw new ForestallError('NOT_FOUND', `topic ${topic} has no partition ${partition}`)
    return log
  }

  offsets(groupId: string): GroupOffsets {
    let offsets = this.#groups.get(groupId)
    if (offsets === undefined) this.#groups.set(groupId, (offsets = new GroupOffsets()))
    return offsets
  }

  deleteGroup(groupId: string): void {
    this.#groups.delete(groupId)
  }

  /** Calls `wake` whenever there may be something new to read, until the returned function is called. */
  watch(wake: () => void): () => void {
    this.#watchers.add(wake)
    return () => void this.#watchers.delete(wake)
  }

  changed(): void {
    for (const wake of this.#watchers) wake()
  }

  /** A new epoch of a transactional id: older ones are fenced, and what they left open is aborted. */
  newEpoch(transactionalId: string): number {
    const producer = this.#producers.get(transactionalId) ?? { epoch: -1, transaction: null }
    this.#producers.set(transactionalId, producer)
    producer.epoch++
    producer.transaction?.end(false)
    return producer.epoch
  }

  /** True if no newer producer has taken over. */
  isCurrent(transactionalId: string, epoch: number): boolean {
    return this.#producers.get(transactionalId)?.epoch === epoch
  }

  /** The open transaction of a transactional id, begun if there is none. */
  transaction(transactionalId: string): MemoryTransaction {
    const producer = this.#producers.get(transactionalId)
    if (producer === undefined)
      throw new ForestallError('CONFIG_INVALID', `the producer ${transactionalId} is used before init`)
    producer.transaction ??= this.#begin(() => (producer.transaction = null))
    return producer.transaction
  }

  /** Aborts the open transactions of dead processes, as their timeouts would: what still speaks for one is fenced. */
  expireTransactions(isDead: (transactionalId: string) => boolean): void {
    for (const [id, producer] of this.#producers) {
      if (!isDead(id) || producer.transaction === null) continue
      producer.epoch++
      producer.transaction.end(false)
    }
  }

  #begin(onEnd: () => void): MemoryTransaction {
    const { promise, resolve } = Promise.withResolvers<void>()
    const transaction: MemoryTransaction = {
      state: 'open',
      ended: promise,
      end: (commit) => {
        transaction.state = commit ? 'committed' : 'aborted'
        for (const logs of this.topics.values()) for (const log of logs) log.endTransaction(transaction)
        for (const group of this.#groups.values()) group.end(transaction)
        onEnd()
        resolve()
        this.changed()
      },
    }
    return transaction
  }
}
