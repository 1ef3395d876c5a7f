import type { RecordCursor, TopicPartition } from '#core/ports'
import { ForestallError, partitionKey } from '#core/ports'
import { AnswerBuffers } from './answer-buffers.ts'
import type { Api } from './apis.ts'
import type { Cluster, Lane } from './cluster.ts'
import { createDelivery, type DeliveryHandlers } from './delivery.ts'
import { createFetchPartition, rewind, rotate, stop, toFetchTopics, topicKey } from './fetch-partition.ts'
import type { FetchPartition, ReadFrom } from './fetch-partition.ts'
import { createFetchApi } from './fetch-response.ts'
import type { FetchArguments, RawFetch, RawPartition } from './fetch-response.ts'
import { listOffsets } from './offsets.ts'
import { isTransient, protocolError } from './retry.ts'
import { findBatches } from './visible-batches.ts'

/** Settings of a fetcher. */
export interface FetcherOptions {
  readonly cluster: Cluster
  readonly readCommitted: boolean
  /** Largest answer of one fetch, and most that waits to be handed out before fetching stops, bytes. Default 32 MiB. */
  readonly maxBytes?: number
  /** Default 4 MiB. */
  readonly maxBytesPerPartition?: number
  /** How long the broker holds a fetch while there is nothing new. Default 100: a resumed partition waits for it. */
  readonly maxWaitMs?: number
  /** The bytes of a batch are overwritten by the next one. Default false. */
  readonly reuseBuffers?: boolean
  onBatch(cursor: RecordCursor): Promise<void> | void
  /** The position of a partition has changed (batches handed out, or void ones skipped). */
  onMoved?(partition: TopicPartition, position: number): void
  /** A failure that fetching again cannot mend. The partition named in it stays stopped; all do after a failed `onBatch`. */
  onError(error: Error): void
}

/** Fetches partitions from their leaders on its own sockets, and hands batches out one at a time. */
export interface Fetcher {
  /** Reads these partitions, too; one that is being read begins anew. */
  add(partitions: readonly ReadFrom[], generationId: number): void
  /** Reads these no more; what was fetched of them is not handed out. */
  drop(partitions: readonly TopicPartition[]): void
  pause(partitions: readonly TopicPartition[]): void
  resume(partitions: readonly TopicPartition[]): void
  position(partition: TopicPartition): number
  /** Reads nothing any more; resolves when the callback that runs has returned. */
  clear(): Promise<void>
  close(): Promise<void>
}

/** Kafka errors of a partition that pass: leaders move, replicas catch up, ids change, a disk is slow. */
const PASSING = new Set([-1, 2, 3, 5, 6, 7, 9, 56, 74, 75, 78, 100, 103])
const OFFSET_OUT_OF_RANGE = 1
const UNKNOWN_TOPIC = 3
const FIRST_BACKOFF_MS = 20
const LAST_BACKOFF_MS = 1000
/** A fetch is answered after `maxWaitMs`: a leader that takes so much longer hangs, and may have been replaced. */
const ANSWER_MS = 10_000

/** Creates a fetcher that reads nothing until `add`. */
export function createFetcher(options: FetcherOptions): Fetcher {
  const {
    cluster,
    readCommitted,
    maxBytes = 32 << 20,
    maxBytesPerPartition = 4 << 20,
    maxWaitMs = 100,
  } = options
  const lane: Lane = cluster.openLane('fetch', maxWaitMs + ANSWER_MS)
  const partitions = new Map<string, FetchPartition>()
  const busyNodes = new Set<number>()
  let request: Api<FetchArguments, RawFetch> | null = null
  let turn = 0
  /** Fetching has stopped because too much waits to be handed out. */
  let full = false
  let backoff: NodeJS.Timeout | null = null
  let locating = false
  let closed = false

  const deliveryHandlers: DeliveryHandlers = {
    onBatch: (cursor) => options.onBatch(cursor),
    onMoved: (p) => {
      p.explicit = true // from here on a missing offset is lost data, wherever we began
      options.onMoved?.(p, p.position)
    },
    onTaken: () => {
      if (full && delivery.queuedBytes() < maxBytes) pump()
    },
    onDone: (answer) => memory?.giveBack(answer),
    onError: (error, p) => {
      const corrupt = error instanceof ForestallError && error.code === 'BATCH_CORRUPT'
      if (corrupt) stop(p)
      else for (const each of partitions.values()) stop(each)
      report(error)
    },
  }
  const memory = options.reuseBuffers === true ? new AnswerBuffers() : undefined
  const delivery = createDelivery(deliveryHandlers, options.reuseBuffers)

  const report = (error: unknown): void => {
    if (!closed) options.onError(error instanceof Error ? error : new Error(String(error)))
  }

  /** Leaders of these are looked up again after a delay that doubles with each failure in a row; the others go on. */
  function fail(error: unknown, list: readonly FetchPartition[]): void {
    if (closed) return
    if (!isTransient(error)) {
      for (const p of partitions.values()) stop(p)
      return report(error)
    }
    cluster.failed(error)
    for (const p of list) {
      p.leader = -1
      p.failures++
    }
    const failures = Math.min(10, ...list.map((p) => p.failures))
    const delayMs = Math.min(FIRST_BACKOFF_MS * 2 ** Math.max(0, failures - 1), LAST_BACKOFF_MS)
    backoff ??= setTimeout(() => {
      backoff = null
      pump()
    }, delayMs)
  }

  const lostNow = () => [...partitions.values()].filter((p) => p.leader < 0 && !p.stopped)

  async function locate(): Promise<void> {
    const lost = lostNow()
    const topics = await cluster.topics([...new Set(lost.map((p) => p.topic))])
    for (const p of lost) {
      const info = topics.get(p.topic)
      p.leader = info?.leaders[p.partition] ?? -1
      p.topicId = info?.id ?? ''
      if (info?.error !== UNKNOWN_TOPIC) p.unknownSinceMs = null
      else if (performance.now() - (p.unknownSinceMs ??= performance.now()) > cluster.options.retryForMs) {
        stop(p)
        report(new ForestallError('NOT_FOUND', `topic ${p.topic} does not exist`))
      }
    }
    const still = lost.find((p) => p.leader < 0 && !p.stopped)
    if (still !== undefined) throw protocolError(5, partitionKey(still.topic, still.partition))
  }

  /** Sends a fetch to every node that has something to read and no fetch under way. */
  function pump(): void {
    full = delivery.queuedBytes() >= maxBytes
    if (closed || full) return
    const wanted = new Map<number, FetchPartition[]>()
    let lost = false
    for (const p of partitions.values()) {
      if (p.paused || p.stopped || p.inFlight) continue
      if (p.leader < 0) lost = true
      else if (!busyNodes.has(p.leader)) wanted.set(p.leader, [...(wanted.get(p.leader) ?? []), p])
    }
    if (lost && !locating && backoff === null) {
      locating = true
      locate()
        .catch((error: unknown) => fail(error, lostNow()))
        .finally(() => {
          locating = false
          pump()
        })
    }
    for (const [node, list] of wanted) start(node, list)
  }

  function start(node: number, list: FetchPartition[]): void {
    busyNodes.add(node)
    for (const p of list) p.inFlight = true
    fetchNode(node, list)
      .catch((error: unknown) => fail(error, list))
      .finally(() => {
        busyNodes.delete(node)
        for (const p of list) p.inFlight = false
        pump()
      })
  }

  async function fetchNode(node: number, list: FetchPartition[]): Promise<void> {
    // Before anything is awaited: a partition that is paused meanwhile hands out nothing of this answer.
    const rounds = new Map(list.map((p) => [p, p.round]))
    request ??= createFetchApi(await cluster.version(1, 12, 17), memory)
    const byName = request.version < 13
    const connection = await lane.node(node)
    const ordered = rotate(list, turn++)
    const topics = toFetchTopics(ordered, byName, maxBytesPerPartition)
    const isolation = readCommitted ? 1 : 0
    const response = await request.async(connection, maxWaitMs, 1, maxBytes, isolation, 0, -1, topics, [], '')
    if (response.error !== 0) throw protocolError(response.error, `fetch from node ${node}`)
    const find = new Map(ordered.map((p) => [partitionKey(topicKey(p, byName), p.partition), p]))
    for (const raw of response.partitions) {
      const p = find.get(partitionKey(raw.topicKey, raw.partition))
      if (p !== undefined && p.round === rounds.get(p)) take(p, raw, response.buffer)
    }
  }

  function take(p: FetchPartition, raw: RawPartition, buffer: Buffer): void {
    if (raw.error === OFFSET_OUT_OF_RANGE) return void outOfRange(p)
    if (PASSING.has(raw.error)) return fail(protocolError(raw.error, `${p.topic}-${p.partition}`), [p])
    p.failures = 0
    if (raw.error !== 0) {
      stop(p)
      return report(protocolError(raw.error, `${p.topic}-${p.partition}`))
    }
    try {
      const batches = findBatches(buffer, raw, p.fetchOffset, readCommitted)
      p.fetchOffset = batches.at(-1)?.nextOffset ?? p.fetchOffset
      delivery.push(p, batches)
    } catch (error) {
      stop(p)
      report(error)
    }
  }

  async function outOfRange(p: FetchPartition): Promise<void> {
    const wanted = p.fetchOffset
    const { round } = p
    p.stopped = true
    try {
      const offsets = await listOffsets(cluster, lane, [p], 'earliest', () => closed)
      const earliest = offsets.get(partitionKey(p.topic, p.partition)) ?? 0
      if (p.round !== round) return
      if (p.explicit) {
        const place = `${p.topic}-${p.partition}`
        return report(
          new ForestallError(
            'OFFSET_OUT_OF_RANGE',
            `${place}: offset ${wanted} is wanted, the earliest is ${earliest}`,
          ),
        )
      }
      p.position = earliest
      rewind(p)
      p.stopped = false
      pump()
    } catch (error) {
      if (p.round === round) report(error)
    }
  }

  const each = (list: readonly TopicPartition[], act: (p: FetchPartition) => void): void => {
    for (const { topic, partition } of list) {
      const p = partitions.get(partitionKey(topic, partition))
      if (p !== undefined) act(p)
    }
  }

  function drop(list: readonly TopicPartition[] = [...partitions.values()]): void {
    each(list, stop)
    for (const { topic, partition } of list) partitions.delete(partitionKey(topic, partition))
  }

  return {
    drop,
    add(list, generationId) {
      drop(list)
      for (const from of list)
        partitions.set(partitionKey(from.topic, from.partition), createFetchPartition(from, generationId))
      pump()
    },
    pause: (list) =>
      each(list, (p) => {
        p.paused = true
        rewind(p)
      }),
    resume(list) {
      each(list, (p) => (p.paused = false))
      pump()
    },
    position: ({ topic, partition }) => partitions.get(partitionKey(topic, partition))?.position ?? -1,
    clear() {
      drop()
      return delivery.idle()
    },
    async close() {
      closed = true
      if (backoff !== null) clearTimeout(backoff)
      drop()
      await lane.close()
      await delivery.idle()
    },
  }
}
