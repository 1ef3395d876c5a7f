import type { Assignment, TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'

const keyOf = (p: TopicPartition): string => partitionKey(p.topic, p.partition)

/**
 * Which assignment each partition of a worker came with. Tasks are restored while others work on and rebalances go by:
 * what is being restored for an assignment that holds no more is void.
 */
export class Claims {
  readonly #held = new Map<string, { partition: TopicPartition; assignment: Assignment }>()

  take(assignment: Assignment): void {
    for (const partition of assignment.partitions) this.#held.set(keyOf(partition), { partition, assignment })
  }

  /** True if the partition is still held as this assignment gave it. */
  holds(assignment: Assignment, partition: TopicPartition): boolean {
    return this.#held.get(keyOf(partition))?.assignment === assignment
  }

  lose(partitions: readonly TopicPartition[]): void {
    for (const partition of partitions) this.#held.delete(keyOf(partition))
  }

  clear(): void {
    this.#held.clear()
  }

  /**
   * True if a task that is here already may read one of these, too: topics have got more partitions. `single`: one
   * task reads everything; else tasks read the same partition number of several topics.
   */
  splits(partitions: readonly TopicPartition[], single: boolean): boolean {
    if (partitions.length === 0) return false
    if (single) return this.#held.size > 0
    const numbers = new Set(partitions.map((p) => p.partition))
    return [...this.#held.values()].some(({ partition }) => numbers.has(partition.partition))
  }
}
