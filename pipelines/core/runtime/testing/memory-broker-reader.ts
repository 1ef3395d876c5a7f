import type {
  Assignment,
  GroupHandler,
  GroupReader,
  GroupReaderOptions,
  PartitionReader,
  PartitionReaderOptions,
  TopicPartition,
} from '../../ports/index.ts'
import { ForestallError, partitionKey } from '../../ports/index.ts'
import { createMemoryFetcher } from './memory-broker-fetcher.ts'
import type { MemoryGroup, MemoryMember } from './memory-broker-group.ts'
import type { MemoryState } from './memory-broker-state.ts'

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/** A group reader of the broker in memory; `kill` is a crash of its process. */
export interface MemoryGroupReader extends GroupReader {
  kill(): void
}

/** Reads as a member of `group`. */
export function createMemoryGroupReader(
  state: MemoryState,
  group: MemoryGroup,
  memberId: string,
  options: GroupReaderOptions,
  handler: GroupHandler,
): MemoryGroupReader {
  const groupInstanceId = options.groupInstanceId ?? null
  let assigned = false
  let over = false
  const report = (error: unknown): void => {
    if (!over) handler.onError(asError(error))
  }
  const fetcher = createMemoryFetcher(state, true, {
    onBatch: (cursor) => handler.onBatch(cursor),
    onError: report,
  })

  async function revoke(): Promise<void> {
    await fetcher.clear()
    if (!assigned || killed) return
    assigned = false
    await Promise.resolve(handler.onRevoked()).catch(report)
  }

  async function announce(): Promise<void> {
    if (assigned && !over) await Promise.resolve(handler.onRebalance?.()).catch(report)
  }

  async function keep(
    generationId: number,
    kept: readonly TopicPartition[],
    lost: readonly TopicPartition[],
  ): Promise<void> {
    if (over || !assigned) return
    fetcher.drop(lost)
    const committed = await state.offsets(options.groupId).committed(kept)
    const assignment: Assignment = { generationId, memberId, groupInstanceId, partitions: committed }
    await Promise.resolve(handler.onKept?.(assignment, [...lost])).catch(report)
  }

  async function assign(generationId: number, partitions: readonly TopicPartition[]): Promise<void> {
    if (over) return
    const committed = await state.offsets(options.groupId).committed(partitions)
    const assignment: Assignment = { generationId, memberId, groupInstanceId, partitions: committed }
    assigned = true
    const starts = await handler.onAssigned(assignment)
    if (over) return
    fetcher.add(
      committed.map(({ topic, partition, offset }) => {
        const from = starts.get(partitionKey(topic, partition)) ?? offset
        return { topic, partition, offset: from >= 0 ? from : state.log(topic, partition).start }
      }),
    )
  }

  let killed = false
  const member: MemoryMember = {
    memberId,
    groupInstanceId,
    topics: options.topics,
    assignment: options.assignment ?? 'aligned',
    cooperative: options.cooperative === true,
    revoke,
    announce,
    keep,
    assign: (generationId, partitions) => assign(generationId, partitions).catch(report),
    async fenced() {
      await revoke()
      report(
        new ForestallError(
          'INSTANCE_FENCED',
          `group ${options.groupId}: another process has joined as ${groupInstanceId}`,
        ),
      )
    },
  }

  return {
    async start() {
      const missing = options.topics.find((t) => !state.topics.has(t))
      if (missing !== undefined) throw new ForestallError('NOT_FOUND', `topic ${missing} does not exist`)
      await group.join(member)
    },
    pause: (partitions) => fetcher.pause(partitions),
    resume: (partitions) => fetcher.resume(partitions),
    silenceMs: () => 0,
    async close() {
      if (over) return
      over = true
      await revoke()
      await fetcher.close()
      await group.leave(member)
    },
    kill() {
      over = true
      killed = true
      group.kill(member)
      void fetcher.close()
    },
  }
}

/** Reads given partitions without a group. */
export function createMemoryPartitionReader(
  state: MemoryState,
  options: PartitionReaderOptions,
): PartitionReader {
  const { partitions, readCommitted = true, until = 'forever' } = options
  const finished = Promise.withResolvers<void>()
  finished.promise.catch(() => {}) // a caller that only awaits close() must not crash the process
  const goals = new Map<string, number>()
  const fail = (error: Error): void => {
    if (options.onError !== undefined) options.onError(error)
    else finished.reject(error)
  }
  const reach = ({ topic, partition }: TopicPartition, position: number): void => {
    const key = partitionKey(topic, partition)
    if (position < (goals.get(key) ?? Infinity)) return
    goals.delete(key)
    fetcher.pause([{ topic, partition }])
    if (goals.size === 0) finished.resolve()
  }
  const fetcher = createMemoryFetcher(state, readCommitted, {
    onBatch: (cursor) => options.onBatch(cursor),
    onMoved: reach,
    onError: fail,
  })

  function start(): void {
    const starts = partitions.map(({ topic, partition, from }) => {
      const log = state.log(topic, partition)
      if (until !== 'forever')
        goals.set(partitionKey(topic, partition), until === 'end' ? log.end : log.stable)
      const latest = readCommitted ? log.stable : log.end
      return {
        topic,
        partition,
        offset: typeof from === 'number' ? from : from === 'earliest' ? log.start : latest,
      }
    })
    fetcher.add(starts)
    if (until === 'forever') return
    for (const s of starts) reach(s, s.offset)
    if (partitions.length === 0) finished.resolve()
  }
  // Not in the caller's turn: it has no reader yet.
  queueMicrotask(() => {
    try {
      start()
    } catch (error) {
      fail(asError(error))
    }
  })

  return {
    done: finished.promise,
    position: (p) => fetcher.position(p),
    async close() {
      await fetcher.close()
      finished.resolve()
    },
  }
}
