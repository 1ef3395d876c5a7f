import type { GroupPartitionsAssigner } from '@platformatic/kafka'

/**
 * Partition p of every topic goes to the same member: p modulo the number of members, members by id (static members
 * have ids that begin with their instance id, so a restart changes nothing). 'single': all to the first member.
 */
export const assignorOf =
  (assignment: 'aligned' | 'single'): GroupPartitionsAssigner =>
  (_current, members, topics, metadata) => {
    const ids = [...members.keys()].sort()
    return ids.map((memberId, index) => {
      const assignments = new Map<string, { topic: string; partitions: number[] }>()
      for (const topic of topics) {
        const count = metadata.topics.get(topic)?.partitionsCount ?? 0
        const partitions = Array.from({ length: count }, (_, p) => p).filter((p) =>
          assignment === 'single' ? index === 0 : p % ids.length === index,
        )
        if (partitions.length > 0) assignments.set(topic, { topic, partitions })
      }
      return { memberId, assignments }
    })
  }
