import type { Producer } from '#core/ports'
import { createAccumulator } from './accumulator.ts'
import type { ProducerIdentity } from './accumulator.ts'
import { APIS } from './apis.ts'
import { createBatchSender } from './batch-sender.ts'
import type { Cluster } from './cluster.ts'
import type { RecordBatchBuilder } from './record-batch-builder.ts'
import { retry } from './retry.ts'

const asError = (e: unknown): Error => (e instanceof Error ? e : new Error(String(e)))

/**
 * Sends records idempotently, in order per partition: one request per broker is under way, and it is repeated with
 * the same sequence numbers. After an error what was pending is lost: `add` throws it until `flush` has reported it.
 */
export function createProducer(cluster: Cluster): Producer {
  const { compression, batchBytes, lingerMs, retryForMs } = cluster.options
  const lane = cluster.openLane('produce')
  const sender = createBatchSender(cluster, lane, null, retryForMs)
  const accumulator = createAccumulator({ transactional: false, compression, batchBytes })
  let identity: ProducerIdentity | null = null
  let failure: Error | null = null
  let tail: Promise<void> = Promise.resolve()
  let linger: NodeJS.Timeout | null = null
  let unacknowledged = 0
  let closed = false

  async function initProducer(): Promise<ProducerIdentity> {
    return retry(
      async () => {
        const request = await cluster.api(APIS.initProducerId)
        const answer = await request.async(await lane.any(), null, 0, -1n, -1)
        return { id: answer.producerId, epoch: answer.producerEpoch }
      },
      { forMs: retryForMs, stop: () => closed },
    )
  }

  async function send(batches: readonly RecordBatchBuilder[]): Promise<void> {
    if (failure !== null) return
    try {
      identity ??= await initProducer()
      await sender.send(
        accumulator.encode(batches, identity),
        (b) => (unacknowledged -= b.bytes),
        () => closed,
      )
    } catch (error) {
      failure = asError(error)
      identity = null // a gap in the sequence: a new producer id starts a new one
      accumulator.resetSequences()
    }
  }

  function sendOpen(): void {
    if (linger !== null) clearTimeout(linger)
    linger = null
    const batches = accumulator.cut()
    if (batches.length === 0) return
    for (const b of batches) unacknowledged += b.bytes
    tail = tail.then(() => send(batches))
  }

  async function flush(): Promise<void> {
    sendOpen()
    await tail
    if (failure === null) return
    const reported = failure
    failure = null
    unacknowledged = 0
    throw reported
  }

  return {
    add(topic, partition, timestampMs, key, value, headers) {
      if (failure !== null) throw failure
      if (accumulator.overflows(topic, partition, key, value)) sendOpen()
      if (accumulator.add(topic, partition, timestampMs, key, value, headers)) sendOpen()
      else linger ??= setTimeout(sendOpen, lingerMs)
    },
    get pendingBytes() {
      return accumulator.bytes + unacknowledged
    },
    flush,
    async close() {
      try {
        await flush()
      } finally {
        closed = true
        await lane.close()
      }
    },
  }
}
