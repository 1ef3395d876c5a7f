import { type Assignment, type OffsetToCommit, partitionKey } from '#core/ports'
import type { TableLane } from './table-lane.ts'

/** How far a member has read its partitions, and how far that is durable. */
export interface Progress {
  /** Null between assignments. */
  readonly assignment: Assignment | null
  /** Returns where to read on, per `topic:partition` that has a committed offset. */
  assign(next: Assignment): Map<string, number>
  /** Between assignments: nothing of what was read counts. */
  clear(): void
  /** The partition has been read up to this offset. */
  read(partitionKey: string, offset: number): void
  /** Per `topic:partition`: everything before this offset is durable. */
  positions(): Map<string, number>
  /** Offsets that are durable and not committed. */
  due(): OffsetToCommit[]
  committed(offsets: readonly OffsetToCommit[]): void
}

/** `lanesOf`: the lanes that rows of a topic go through. */
export function createProgress(lanesOf: (topic: string) => readonly TableLane[]): Progress {
  let assignment: Assignment | null = null
  const readTo = new Map<string, number>()
  const committedTo = new Map<string, number>()

  /** Rows wait in order of offsets: all before the first that waits is durable. */
  function durableTo(topic: string, key: string): number {
    let offset = readTo.get(key) ?? 0
    for (const lane of lanesOf(topic)) offset = Math.min(offset, lane.pendingFrom(key) ?? offset)
    return offset
  }

  function clear(): void {
    assignment = null
    readTo.clear()
    committedTo.clear()
  }

  return {
    get assignment() {
      return assignment
    },
    assign(next) {
      clear()
      assignment = next
      for (const { topic, partition, offset } of next.partitions) {
        if (offset < 0) continue
        readTo.set(partitionKey(topic, partition), offset)
        committedTo.set(partitionKey(topic, partition), offset)
      }
      return new Map(committedTo)
    },
    clear,
    read: (key, offset) => void readTo.set(key, offset),
    positions: () => {
      const positions = new Map<string, number>()
      for (const { topic, partition } of assignment?.partitions ?? []) {
        const key = partitionKey(topic, partition)
        positions.set(key, durableTo(topic, key))
      }
      return positions
    },
    due() {
      return (assignment?.partitions ?? []).flatMap(({ topic, partition }) => {
        const key = partitionKey(topic, partition)
        const offset = durableTo(topic, key)
        return offset > (committedTo.get(key) ?? 0) ? [{ topic, partition, offset, metadata: '' }] : []
      })
    },
    committed(offsets) {
      for (const { topic, partition, offset } of offsets)
        committedTo.set(partitionKey(topic, partition), offset)
    },
  }
}
