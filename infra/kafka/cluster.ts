import type { Broker as BrokerAddress, Connection, ConnectionPool } from '@platformatic/kafka'
import { ForestallError } from '#core/ports'
import { APIS, apiVersions } from './apis.ts'
import type { Api, MetadataResponse } from './apis.ts'
import type { ResolvedOptions } from './options.ts'
import { isUnanswered, protocolError } from './retry.ts'
import { createSockets } from './sockets.ts'

/** What the cluster says of a topic. `error` is a Kafka error code, 0 if none; `leaders[p]` is -1 if partition p has none. */
interface TopicInfo {
  readonly name: string
  /** 32 hexadecimal digits. */
  readonly id: string
  readonly error: number
  readonly leaders: readonly number[]
  readonly fetchedAtMs: number
}

/** Sockets of one component: its requests never wait behind another component's long poll. */
export interface Lane {
  /** A connection to this node, opened if there is none. */
  node(nodeId: number): Promise<Connection>
  /** A connection to any broker. */
  any(): Promise<Connection>
  /** The coordinator of a group (type 0) or of a transactional id (type 1). */
  coordinator(type: 0 | 1, key: string): Promise<Connection>
  /** Drops all connections: what waits on them fails. */
  drop(): void
  close(): Promise<void>
}

/** Shared knowledge of a Kafka cluster: brokers, topics, coordinators, versions. One attempt per call: callers retry. */
export interface Cluster {
  readonly options: ResolvedOptions
  /** `requestTimeoutMs`: how long its requests may take, if not as long as all others. */
  openLane(name: string, requestTimeoutMs?: number): Lane
  /** Picks the newest of these versions that the brokers speak. Throws CONFIG_INVALID if they speak none. */
  api<A extends unknown[], R>(versions: readonly Api<A, R>[]): Promise<Api<A, R>>
  /** Newest version of a request, by its key, not above `highest`. */
  version(apiKey: number, lowest: number, highest: number): Promise<number>
  /** Topics by name (unknown ones carry an `error`), at most `maxAgeMs` (default 60,000) old. */
  topics(names: readonly string[], maxAgeMs?: number): Promise<Map<string, TopicInfo>>
  /** Names of all topics but internal ones. */
  listTopics(): Promise<string[]>
  /** The leader of a partition. Throws a transient error while there is none. */
  leader(topic: string, partition: number): Promise<number>
  /** Forgets leaders and brokers: the next call asks again. */
  forgetLeaders(): void
  /** As `forgetLeaders`, after a failure. If a request was not answered, other silent connections are dropped, too. */
  failed(error: unknown): void
  forgetCoordinator(type: 0 | 1, key: string): void
  close(): Promise<void>
}

const METADATA_MAX_AGE_MS = 60_000
/** Who leads and who coordinates is answered from memory: a broker that takes longer hangs, and another one is asked. */
const LOOKUP_MS = 5000
/** Once a request was not answered: connections that have been silent for so long are taken for dead. */
const SILENT_MS = 2500

function parseAddress(text: string): BrokerAddress {
  const colon = text.lastIndexOf(':')
  const host = (colon < 0 ? text : text.slice(0, colon)).replace(/^\[(.*)\]$/, '$1')
  const port = colon < 0 ? 9092 : Number(text.slice(colon + 1))
  if (host === '' || !Number.isInteger(port) || port <= 0) {
    throw new ForestallError('CONFIG_INVALID', `"${text}" is not the host:port of a Kafka broker`)
  }
  return { host, port }
}

/** The library throws if any topic of an answer has an error; the answer is still whole, and says which. */
async function askMetadata(request: Promise<MetadataResponse>): Promise<MetadataResponse> {
  try {
    return await request
  } catch (error) {
    const response: unknown = error instanceof Error && 'response' in error ? error.response : undefined
    if (response !== undefined) return response as MetadataResponse
    throw error
  }
}

function toTopicInfo(topic: MetadataResponse['topics'][number], fetchedAtMs: number): TopicInfo {
  const leaders: number[] = Array.from({ length: topic.partitions.length }, () => -1)
  for (const p of topic.partitions) leaders[p.partitionIndex] = p.leaderId
  return {
    name: topic.name ?? '',
    id: topic.topicId.replaceAll('-', ''),
    error: topic.errorCode,
    leaders,
    fetchedAtMs,
  }
}

/** Connects lazily to the brokers of `options`; nothing happens before the first call. */
export function createCluster(options: ResolvedOptions): Cluster {
  const bootstrap = options.bootstrapBrokers.map(parseAddress)
  const requestMs = options.socket.requestTimeout
  const everyone = createSockets()
  const pool = everyone.pool(options.clientId, {
    ...options.socket,
    requestTimeout: Math.min(requestMs, LOOKUP_MS),
  })
  const topicCache = new Map<string, TopicInfo>()
  const coordinators = new Map<string, number>()
  const inFlight = new Map<string, Promise<MetadataResponse>>()
  let brokers = new Map<number, BrokerAddress>()
  let versions: Map<number, { min: number; max: number }> | null = null

  /** Which broker is asked first: after a failure another one, since a broker that hangs still takes connections. */
  let first = 0

  function anyOf(p: ConnectionPool): Promise<Connection> {
    const known = [...brokers.values(), ...bootstrap]
    const at = first % known.length
    return p.getFirstAvailable([...known.slice(at), ...known.slice(0, at)])
  }

  async function loadVersions(): Promise<Map<number, { min: number; max: number }>> {
    if (versions !== null) return versions
    const answer = await apiVersions(await anyOf(pool))
    versions = new Map(answer.apiKeys.map((k) => [k.apiKey, { min: k.minVersion, max: k.maxVersion }]))
    return versions
  }

  async function api<A extends unknown[], R>(candidates: readonly Api<A, R>[]): Promise<Api<A, R>> {
    const known = await loadVersions()
    for (const candidate of candidates) {
      const range = known.get(candidate.key)
      if (range !== undefined && candidate.version >= range.min && candidate.version <= range.max)
        return candidate
    }
    throw new ForestallError(
      'CONFIG_INVALID',
      `the Kafka brokers do not speak request ${candidates[0]?.key} in a version known here: Kafka 3.0 or newer is needed`,
    )
  }

  async function version(apiKey: number, lowest: number, highest: number): Promise<number> {
    const range = (await loadVersions()).get(apiKey)
    const chosen = Math.min(highest, range?.max ?? -1)
    if (chosen >= lowest && chosen >= (range?.min ?? 0)) return chosen
    throw new ForestallError(
      'CONFIG_INVALID',
      `the Kafka brokers do not speak request ${apiKey} in version ${lowest} to ${highest}: Kafka 3.0 or newer is needed`,
    )
  }

  function metadata(names: readonly string[] | null): Promise<MetadataResponse> {
    const key = names === null ? '*' : [...names].sort().join(',')
    const running = inFlight.get(key)
    if (running !== undefined) return running
    const asked = (async () => {
      const request = await api(APIS.metadata)
      const response = await askMetadata(
        request.async(await anyOf(pool), names === null ? null : [...names], false, false),
      )
      brokers = new Map(response.brokers.map((b) => [b.nodeId, { host: b.host, port: b.port }]))
      return response
    })()
      .catch((error: unknown) => {
        first++
        throw error
      })
      .finally(() => inFlight.delete(key))
    inFlight.set(key, asked)
    return asked
  }

  async function topics(
    names: readonly string[],
    maxAgeMs = METADATA_MAX_AGE_MS,
  ): Promise<Map<string, TopicInfo>> {
    const now = Date.now()
    const stale = names.filter((n) => (topicCache.get(n)?.fetchedAtMs ?? -Infinity) <= now - maxAgeMs)
    if (stale.length > 0) {
      for (const topic of (await metadata(stale)).topics) {
        const info = toTopicInfo(topic, Date.now())
        const usable = info.error === 0 && !info.leaders.includes(-1)
        if (usable) topicCache.set(info.name, info)
        else topicCache.set(info.name, { ...info, fetchedAtMs: -Infinity })
      }
    }
    return new Map(
      names.map((n) => [n, topicCache.get(n) ?? { name: n, id: '', error: 3, leaders: [], fetchedAtMs: 0 }]),
    )
  }

  async function listTopics(): Promise<string[]> {
    const response = await metadata(null)
    return response.topics
      .filter((t) => !t.isInternal && t.name !== null)
      .map((t) => t.name ?? '')
      .sort()
  }

  async function leader(topic: string, partition: number): Promise<number> {
    const info = (await topics([topic])).get(topic)
    const node = info?.leaders[partition] ?? -1
    if (node >= 0) return node
    throw protocolError(
      info?.error || (partition < (info?.leaders.length ?? 0) ? 5 : 3),
      `${topic}-${partition}`,
    )
  }

  async function findCoordinator(type: 0 | 1, key: string): Promise<number> {
    const known = coordinators.get(`${type}${key}`)
    if (known !== undefined) return known
    const request = await api(APIS.findCoordinator)
    const answer = (await request.async(await anyOf(pool), type, [key])).coordinators[0]
    if (answer === undefined) throw protocolError(15, key)
    coordinators.set(`${type}${key}`, answer.nodeId)
    brokers.set(answer.nodeId, { host: answer.host, port: answer.port })
    return answer.nodeId
  }

  function forgetLeaders(): void {
    topicCache.clear()
    first++
  }

  function openLane(name: string, requestTimeoutMs?: number): Lane {
    const sockets = everyone.pool(`${options.clientId}-${name}`, {
      ...options.socket,
      requestTimeout: requestTimeoutMs ?? requestMs,
    })
    const node = async (nodeId: number): Promise<Connection> => {
      if (!brokers.has(nodeId)) await metadata([])
      const address = brokers.get(nodeId)
      if (address === undefined) throw protocolError(5, `broker ${nodeId}`)
      return sockets.get(address)
    }
    return {
      node,
      any: () => anyOf(sockets),
      coordinator: async (type, key) => node(await findCoordinator(type, key)),
      drop() {
        for (const [, connection] of sockets) connection.socket.destroy()
      },
      close: () => sockets.close(),
    }
  }

  return {
    options,
    openLane,
    api,
    version,
    topics,
    listTopics,
    leader,
    forgetLeaders,
    failed(error) {
      forgetLeaders()
      if (isUnanswered(error)) everyone.dropSilent(Math.min(SILENT_MS, requestMs * 0.9))
    },
    forgetCoordinator: (type, key) => void coordinators.delete(`${type}${key}`),
    close: () => pool.close(),
  }
}
