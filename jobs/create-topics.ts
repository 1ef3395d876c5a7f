import type { Broker, TopicSpec, Warehouse } from '#core/ports'
import { inputTopics, internalTopics, type Topology } from '#core/runtime'
import { ensureTables, type Retention } from '#core/warehouse'
import { TABLES, TOPICS, topicDefinition, topicName, topicSpec, VIEWS } from '#schemas'

const INTERNAL_RETENTION_BYTES = 2 ** 30

/** Creates every table and view that is missing. Without a retention, rows are kept for ever. */
export async function prepareTables(warehouse: Warehouse, retention?: Retention): Promise<void> {
  await ensureTables(warehouse, TABLES, retention)
  for (const { name, select } of VIEWS) await warehouse.command(`CREATE OR REPLACE VIEW ${name} AS ${select}`)
}

/**
 * Creates every declared topic and the internal ones of these topologies; `partitions` overrides declared counts.
 * Throws RangeError if a topology reads a topic that is not declared.
 */
export async function createTopics(
  broker: Broker,
  topologies: readonly Topology[],
  partitions: Readonly<Record<string, number>>,
  prefix: string,
): Promise<void> {
  const partitionsOf = (topic: string) => partitions[topic] ?? topicDefinition(topic).partitions
  const declared = TOPICS.map(({ name }) => topicSpec(name, { prefix, partitions: partitionsOf(name) }))
  const internal: TopicSpec[] = topologies.flatMap((topology) =>
    internalTopics(topology, partitionsOf).map(({ name, partitions: count, compacted }) => ({
      name: topicName(name, prefix),
      partitions: count,
      configs: compacted
        ? { 'cleanup.policy': 'compact', 'max.message.bytes': String(8 * 2 ** 20) }
        : {
            'cleanup.policy': 'delete',
            'retention.ms': '-1',
            'retention.bytes': String(INTERNAL_RETENTION_BYTES),
          },
    })),
  )
  const known = new Set([...declared, ...internal].map(({ name }) => name))
  const missing = topologies.flatMap(inputTopics).filter((topic) => !known.has(topicName(topic, prefix)))
  if (missing.length > 0) throw new RangeError(`undeclared topics: ${[...new Set(missing)].join(', ')}`)
  const admin = broker.admin()
  try {
    await admin.ensureTopics([...declared, ...internal])
  } finally {
    await admin.close()
  }
}
