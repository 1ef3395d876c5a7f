import { ForestallError } from '#core/ports'
import type { BrokerAdmin, TopicSpec } from '#core/ports'
import { APIS } from './apis.ts'
import type { Cluster } from './cluster.ts'
import { committedOffsets, listOffsets, onGroupCoordinator } from './offsets.ts'
import { hasApiError, protocolError, retry } from './retry.ts'

const REQUEST_TIMEOUT_MS = 30_000
const LEADER_NOT_AVAILABLE = 5
const UNKNOWN_TOPIC = 3

/** Topics, offsets and groups of a cluster. Every operation may be repeated. */
export function createAdmin(cluster: Cluster): BrokerAdmin {
  const lane = cluster.openLane('admin', REQUEST_TIMEOUT_MS)
  const forMs = cluster.options.retryForMs

  async function create(topics: readonly TopicSpec[]): Promise<void> {
    const request = await cluster.api(APIS.createTopics)
    const wanted = topics.map((t) => ({
      name: t.name,
      numPartitions: t.partitions,
      replicationFactor: t.replicationFactor ?? -1,
      assignments: [],
      configs: Object.entries(t.configs ?? {}).map(([name, value]) => ({ name, value })),
    }))
    await request.async(await lane.any(), wanted, REQUEST_TIMEOUT_MS, false)
  }

  async function missing(topics: readonly TopicSpec[]): Promise<TopicSpec[]> {
    const known = await cluster.topics(
      topics.map((t) => t.name),
      0,
    )
    return topics.filter((t) => known.get(t.name)?.error === UNKNOWN_TOPIC)
  }

  async function ensureOnce(topics: readonly TopicSpec[]): Promise<void> {
    // One request per topic: the library turns one failed topic of an answer into the failure of all.
    for (const topic of await missing(topics)) {
      await create([topic]).catch((error: unknown) => {
        if (!hasApiError(error, 'TOPIC_ALREADY_EXISTS')) throw error
      })
    }
    const known = await cluster.topics(
      topics.map((t) => t.name),
      0,
    )
    for (const topic of topics) {
      const info = known.get(topic.name)
      if (info === undefined || info.error !== 0 || info.leaders.length === 0 || info.leaders.includes(-1)) {
        throw protocolError(info?.error || LEADER_NOT_AVAILABLE, topic.name)
      }
      if (info.leaders.length !== topic.partitions) {
        throw new ForestallError(
          'CONFIG_INVALID',
          `topic ${topic.name} has ${info.leaders.length} partitions, ${topic.partitions} are wanted`,
        )
      }
    }
  }

  async function deleteTopic(name: string): Promise<void> {
    const request = await cluster.api(APIS.deleteTopics)
    try {
      await request.async(await lane.any(), [{ name }], REQUEST_TIMEOUT_MS)
    } catch (error) {
      if (!hasApiError(error, 'UNKNOWN_TOPIC_OR_PARTITION')) throw error
    }
  }

  return {
    async ensureTopics(topics) {
      if (topics.length > 0) await retry(() => ensureOnce(topics), { forMs, delayMs: 20, maxDelayMs: 200 })
    },
    async deleteTopics(names) {
      for (const name of names) await retry(() => deleteTopic(name), { forMs })
      cluster.forgetLeaders()
    },
    listTopics: () => retry(() => cluster.listTopics(), { forMs }),
    async partitions(names) {
      const known = await retry(() => cluster.topics(names, 0), { forMs })
      return new Map(
        [...known].filter(([, t]) => t.leaders.length > 0).map(([name, t]) => [name, t.leaders.length]),
      )
    },
    offsets: (partitions, which) => listOffsets(cluster, lane, partitions, which),
    committed: (groupId, partitions) => committedOffsets(cluster, lane, groupId, partitions),
    async deleteGroup(groupId) {
      const request = await retry(() => cluster.api(APIS.deleteGroups), { forMs })
      try {
        await onGroupCoordinator(cluster, lane, groupId, (connection) => request.async(connection, [groupId]))
      } catch (error) {
        if (!hasApiError(error, 'GROUP_ID_NOT_FOUND')) throw error
      }
    },
    close: () => lane.close(),
  }
}
