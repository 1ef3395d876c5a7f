import type { Broker } from '#core/ports'
import { createAdmin } from './admin.ts'
import { createCluster } from './cluster.ts'
import { createGroupReader } from './group-reader.ts'
import { resolveOptions } from './options.ts'
import type { KafkaOptions } from './options.ts'
import { createPartitionReader } from './partition-reader.ts'
import { createProducer } from './producer.ts'
import { createTransactionalProducer } from './transactional-producer.ts'

export type { KafkaOptions } from './options.ts'
export { type BrokerRoles, createBrokerRoles } from './roles.ts'

/**
 * The port `Broker` on a Kafka cluster, 3.0 or newer. Connects when first used. `close` closes what this broker has
 * handed out and is not closed yet; transactions still open are aborted.
 */
export function createBroker(options: KafkaOptions): Broker {
  const cluster = createCluster(resolveOptions(options))
  const open = new Set<{ close(): Promise<void> }>()

  /** Keeps the part, to close it with the broker, until it is closed by its owner. */
  function keep<T extends { close(): Promise<void> }>(part: T): T {
    const close = part.close.bind(part)
    let closing: Promise<void> | null = null
    part.close = () => (closing ??= close().finally(() => open.delete(part)))
    open.add(part)
    return part
  }

  return {
    admin: () => keep(createAdmin(cluster)),
    groupReader: (o, handler) => keep(createGroupReader(cluster, o, handler)),
    readPartitions: (o) => keep(createPartitionReader(cluster, o)),
    transactionalProducer: (o) =>
      keep(createTransactionalProducer(cluster, o.transactionalId, o.transactionTimeoutMs)),
    producer: () => keep(createProducer(cluster)),
    async close() {
      await Promise.allSettled([...open].map((part) => part.close()))
      await cluster.close()
    },
  }
}
