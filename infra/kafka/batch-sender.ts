import { ForestallError } from '#core/ports'
import type { Api } from './apis.ts'
import type { Cluster, Lane } from './cluster.ts'
import { createProduceApi } from './produce-request.ts'
import type { EncodedBatch, ProduceArguments, ProduceResult } from './produce-request.ts'
import { protocolError, retry } from './retry.ts'

const DUPLICATE_SEQUENCE = 46
const TOO_LARGE = new Set([10, 18])

/** Sends encoded batches to the leaders of their partitions until all are acknowledged. */
export interface BatchSender {
  /**
   * At most one batch per partition. A batch whose fate is unknown is sent again with the same bytes and sequence
   * number: the broker drops what it already has. Throws the library's error for what cannot be repeated, or
   * RECORD_TOO_LARGE. `onAcknowledged` is called as batches arrive.
   */
  send(
    batches: readonly EncodedBatch[],
    onAcknowledged: (batch: EncodedBatch) => void,
    stop?: () => boolean,
  ): Promise<void>
}

function check(result: ProduceResult): void {
  const place = `${result.topic}-${result.partition}`
  if (TOO_LARGE.has(result.error)) {
    throw new ForestallError(
      'RECORD_TOO_LARGE',
      `${place}: ${result.message ?? 'the batch is larger than the topic allows'}`,
      {
        cure: 'Raise max.message.bytes of the topic, or send smaller records.',
      },
    )
  }
  throw protocolError(result.error, `${place}${result.message === null ? '' : `: ${result.message}`}`)
}

/** `transactionalId` is null outside transactions. */
export function createBatchSender(
  cluster: Cluster,
  lane: Lane,
  transactionalId: string | null,
  forMs: number,
): BatchSender {
  let request: Api<ProduceArguments, ProduceResult[]> | null = null

  async function sendToNode(
    node: number,
    batches: EncodedBatch[],
    unsent: Set<EncodedBatch>,
    onAcknowledged: (batch: EncodedBatch) => void,
  ): Promise<void> {
    request ??= createProduceApi(await cluster.version(0, 9, 11))
    // The broker gives up before we do: its answer says what was missing.
    const timeoutMs = Math.floor(cluster.options.socket.requestTimeout * 0.8)
    const results = await request.async(await lane.node(node), transactionalId, timeoutMs, batches)
    const failed: ProduceResult[] = []
    for (const result of results) {
      if (result.error !== 0 && result.error !== DUPLICATE_SEQUENCE) {
        failed.push(result)
        continue
      }
      const batch = batches.find((b) => b.partition === result.partition && b.topic === result.topic)
      if (batch !== undefined && unsent.delete(batch)) onAcknowledged(batch)
    }
    for (const result of failed) check(result)
  }

  async function attempt(
    unsent: Set<EncodedBatch>,
    onAcknowledged: (batch: EncodedBatch) => void,
  ): Promise<void> {
    const nodes = new Map<number, EncodedBatch[]>()
    await cluster.topics([...new Set([...unsent].map((b) => b.topic))]) // one request for all of them
    for (const batch of unsent) {
      const node = await cluster.leader(batch.topic, batch.partition)
      const list = nodes.get(node)
      if (list === undefined) nodes.set(node, [batch])
      else list.push(batch)
    }
    const results = await Promise.allSettled(
      [...nodes].map(([node, list]) => sendToNode(node, list, unsent, onAcknowledged)),
    )
    for (const result of results) if (result.status === 'rejected') throw result.reason
  }

  return {
    async send(batches, onAcknowledged, stop = () => false) {
      const unsent = new Set(batches)
      await retry(() => attempt(unsent, onAcknowledged), {
        forMs,
        stop,
        onRetry: (error) => cluster.failed(error),
      })
    },
  }
}
