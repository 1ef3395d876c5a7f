import { ConnectionPool, describeQuorumV2, metadataV12 } from '@platformatic/kafka'
import type { Broker as BrokerAddress } from '@platformatic/kafka'
import { APIS } from './apis.ts'
import type { MetadataResponse } from './apis.ts'
import { protocolError, retry } from './retry.ts'

/** Which broker does what in a cluster, asked anew each time: whom to kill, and whether all are well. */
export interface BrokerRoles {
  /** Node id of the leader of a partition. */
  leader(topic: string, partition: number): Promise<number>
  /** Node id of the coordinator of a group or of a transactional id. */
  coordinator(kind: 'group' | 'transaction', key: string): Promise<number>
  /** Node id of the active controller. */
  controller(): Promise<number>
  /** `topic-partition` of all that lack a leader or a replica in sync, internal topics too. */
  unwell(): Promise<string[]>
  close(): Promise<void>
}

const PATIENCE_MS = 20_000
const CLUSTER_METADATA = '__cluster_metadata'
const LEADER_NOT_AVAILABLE = 5
const UNKNOWN_TOPIC = 3

function addressOf(text: string): BrokerAddress {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon), port: Number(text.slice(colon + 1)) }
}

/** Asks these brokers (`host:port`); each question is repeated for 20 s while brokers come and go. */
export function createBrokerRoles(bootstrapBrokers: readonly string[], clientId: string): BrokerRoles {
  const pool = new ConnectionPool(clientId, { connectTimeout: 1000, requestTimeout: 5000 })
  const bootstrap = bootstrapBrokers.map(addressOf)
  let turn = 0

  /** Another broker first each time: one that hangs accepts connections, too. */
  const any = () => {
    turn++
    return pool.getFirstAvailable(bootstrap.map((_, i) => bootstrap[(turn + i) % bootstrap.length]!))
  }
  const asked = <T>(question: () => Promise<T>): Promise<T> =>
    retry(question, { forMs: PATIENCE_MS, maxDelayMs: 200 })

  async function metadata(topics: string[] | null): Promise<MetadataResponse> {
    return await metadataV12.api.async(await any(), topics, false, false)
  }

  return {
    leader: (topic, partition) =>
      asked(async () => {
        const [found] = (await metadata([topic])).topics
        const leader = found?.partitions.find((p) => p.partitionIndex === partition)?.leaderId ?? -1
        if (leader < 0) throw protocolError(LEADER_NOT_AVAILABLE, `${topic}-${partition}`)
        return leader
      }),
    coordinator: (kind, key) =>
      asked(async () => {
        const [request] = APIS.findCoordinator
        const answer = await request.async(await any(), kind === 'group' ? 0 : 1, [key])
        return answer.coordinators[0]?.nodeId ?? -1
      }),
    controller: () =>
      asked(async () => {
        const topic = { topicName: CLUSTER_METADATA, partitions: [{ partitionIndex: 0 }] }
        const answer = await describeQuorumV2.api.async(await any(), [topic])
        const leader = answer.topics[0]?.partitions[0]?.leaderId ?? -1
        if (leader < 0) throw protocolError(UNKNOWN_TOPIC, CLUSTER_METADATA)
        return leader
      }),
    unwell: () =>
      asked(async () => {
        const { topics } = await metadata(null)
        return topics.flatMap((topic) =>
          topic.partitions
            .filter((p) => p.leaderId < 0 || p.isrNodes.length < p.replicaNodes.length)
            .map((p) => `${topic.name}-${p.partitionIndex}`),
        )
      }),
    close: () => pool.close(),
  }
}
