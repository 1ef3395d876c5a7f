import type { CommittedOffset, TopicPartition } from '../ports/index.ts'
import { partitionKey } from '../ports/index.ts'
import { MergeTask } from './merge-task.ts'
import { RoundTask, type SnapshotSource } from './round-task.ts'
import { SessionMergeTask } from './session-merge-task.ts'
import { SourceTask } from './source-task.ts'
import type { Task, TaskContext, TaskStart } from './task.ts'
import type { Topology } from './topology.ts'

/** Every topic that a topology reads, as named in the topology. */
export function inputTopics(topology: Topology): string[] {
  const sources = Object.values(topology.sources).map((s) => s.topic)
  const merges = Object.values(topology.windows).flatMap((w) => (w.merge ? [w.merge.topic] : []))
  const rounds = Object.values(topology.rounds).flatMap((r) => Object.values(r.inputs).map((i) => i.topic))
  return [...new Set([...sources, ...merges, ...rounds])]
}

/**
 * The tasks for the partitions assigned. A round node needs partition p of all of its inputs: an assignment that
 * holds only some of them makes no task (the group's assignor gives partition p of every topic to one member).
 */
export function createTasks(
  topology: Topology,
  assigned: readonly TopicPartition[],
  context: TaskContext,
  snapshots: SnapshotSource,
): Task[] {
  const has = new Set(assigned.map((p) => partitionKey(p.topic, p.partition)))
  const partitions = [...new Set(assigned.map((p) => p.partition))].sort((a, b) => a - b)
  const tasks: Task[] = []
  const holds = (topic: string, partition: number) =>
    has.has(partitionKey(context.topicName(topic), partition))
  for (const partition of partitions) {
    for (const [name, source] of Object.entries(topology.sources)) {
      if (holds(source.topic, partition)) tasks.push(new SourceTask(topology, name, partition, context))
    }
    for (const [name, window] of Object.entries(topology.windows)) {
      if (window.merge && holds(window.merge.topic, partition))
        tasks.push(
          window.kind === 'session'
            ? new SessionMergeTask(topology, name, partition, context)
            : new MergeTask(topology, name, partition, context),
        )
    }
    for (const [name, round] of Object.entries(topology.rounds)) {
      const inputs = Object.values(round.inputs)
      const holdsAll = (p: number) => inputs.every((i) => holds(i.topic, p))
      if (round.scope === 'partition' && holdsAll(partition))
        tasks.push(new RoundTask(topology, name, partition, context, snapshots))
    }
  }
  for (const [name, round] of Object.entries(topology.rounds)) {
    if (round.scope !== 'all') continue
    const every = Object.values(round.inputs).every((i) =>
      Array.from({ length: context.partitionsOf(i.topic) }, (_, p) => p).every((p) => holds(i.topic, p)),
    )
    if (every) tasks.push(new RoundTask(topology, name, 0, context, snapshots))
  }
  return tasks
}

/** Restores tasks from what is committed; returns the offset to read from, per `topic:partition`. */
export async function restoreTasks(
  tasks: readonly Task[],
  partitions: readonly CommittedOffset[],
  earliest: ReadonlyMap<string, number>,
): Promise<Map<string, number>> {
  const starts = new Map<string, TaskStart>()
  for (const committed of partitions) {
    const key = partitionKey(committed.topic, committed.partition)
    starts.set(key, { committed, earliest: earliest.get(key) ?? 0 })
  }
  const from = new Map<string, number>()
  for (const task of tasks) {
    for (const [key, offset] of await task.restore(starts))
      from.set(key, Math.min(offset, from.get(key) ?? offset))
  }
  return from
}
