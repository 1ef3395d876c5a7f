import type { Broker, BrokerAdmin } from '../../ports/index.ts'
import { ForestallError, partitionKey } from '../../ports/index.ts'
import { MemoryGroup } from './memory-broker-group.ts'
import { PartitionLog } from './memory-broker-log.ts'
import { createMemoryProducer, createMemoryTransactionalProducer } from './memory-broker-producer.ts'
import { createMemoryGroupReader, createMemoryPartitionReader } from './memory-broker-reader.ts'
import type { MemoryGroupReader } from './memory-broker-reader.ts'
import { MemoryState } from './memory-broker-state.ts'

/** A process that uses the broker in memory. */
export interface MemoryClient extends Broker {
  /**
   * The process dies without a word: callbacks run no more, its transactions stay open until the same transactional
   * id is initialised again, its group members keep their partitions until the same instance joins, or `expire`.
   */
  kill(): void
}

/** A broker in memory: the port `Broker`, plus what tests do to brokers and processes. */
export interface MemoryBroker extends Broker {
  /** Another process on the same broker. */
  connect(): MemoryClient
  /** Lets sessions and transactions of killed processes time out. Resolves after the rebalances that follow. */
  expire(): Promise<void>
  /** Retention: removes records below `offset`. */
  trim(topic: string, partition: number, offset: number): void
}

function createMemoryAdmin(state: MemoryState, groups: Map<string, MemoryGroup>): BrokerAdmin {
  return {
    async ensureTopics(topics) {
      for (const { name, partitions } of topics) {
        const found = state.topics.get(name)
        if (found === undefined) {
          state.topics.set(
            name,
            Array.from({ length: partitions }, () => new PartitionLog()),
          )
        } else if (found.length !== partitions) {
          throw new ForestallError(
            'CONFIG_INVALID',
            `topic ${name} has ${found.length} partitions, ${partitions} are wanted`,
          )
        }
      }
    },
    async deleteTopics(names) {
      for (const name of names) state.topics.delete(name)
    },
    listTopics: async () => [...state.topics.keys()].sort(),
    async partitions(names) {
      return new Map(
        names.flatMap((n) => (state.topics.has(n) ? [[n, state.topics.get(n)?.length ?? 0] as const] : [])),
      )
    },
    async offsets(partitions, which) {
      return new Map(
        partitions.map(({ topic, partition }) => {
          const log = state.log(topic, partition)
          return [
            partitionKey(topic, partition),
            which === 'earliest' ? log.start : which === 'latest' ? log.end : log.stable,
          ]
        }),
      )
    },
    committed: (groupId, partitions) => state.offsets(groupId).committed(partitions),
    async deleteGroup(groupId) {
      if (groups.get(groupId)?.empty === false)
        throw new ForestallError('CONFIG_INVALID', `group ${groupId} has members`)
      groups.delete(groupId)
      state.deleteGroup(groupId)
    },
    async close() {},
  }
}

/** Creates an empty broker in memory. No timers: everything happens in the order of the calls and their promises. */
export function createMemoryBroker(): MemoryBroker {
  const state = new MemoryState()
  const groups = new Map<string, MemoryGroup>()
  let members = 0
  /** Transactional ids that the last process to use them has left by dying. */
  const dead = new Set<string>()

  function groupOf(groupId: string): MemoryGroup {
    let group = groups.get(groupId)
    if (group === undefined) groups.set(groupId, (group = new MemoryGroup(state, groupId)))
    return group
  }

  function connect(): MemoryClient {
    const readers = new Set<MemoryGroupReader>()
    const ids = new Set<string>()
    const open = new Set<{ close(): Promise<void> }>()
    const keep = <T extends { close(): Promise<void> }>(part: T): T => {
      open.add(part)
      return part
    }
    return {
      admin: () => createMemoryAdmin(state, groups),
      groupReader(options, handler) {
        const reader = createMemoryGroupReader(
          state,
          groupOf(options.groupId),
          `member-${++members}`,
          options,
          handler,
        )
        readers.add(reader)
        return keep(reader)
      },
      readPartitions: (options) => keep(createMemoryPartitionReader(state, options)),
      transactionalProducer({ transactionalId }) {
        ids.add(transactionalId)
        dead.delete(transactionalId)
        return keep(createMemoryTransactionalProducer(state, groupOf, transactionalId))
      },
      producer: () => createMemoryProducer(state),
      async close() {
        for (const part of open) await part.close()
        open.clear()
      },
      kill() {
        for (const id of ids) dead.add(id)
        for (const reader of readers) reader.kill()
        open.clear()
      },
    }
  }

  return {
    ...connect(),
    connect,
    async expire() {
      state.expireTransactions((id) => dead.has(id))
      await Promise.all([...groups.values()].map((group) => group.expire()))
    },
    trim(topic, partition, offset) {
      state.log(topic, partition).start = offset
      state.changed()
    },
  }
}
