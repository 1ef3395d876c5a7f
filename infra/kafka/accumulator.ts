import { partitionKey } from '#core/ports'
import type { Header } from '#core/ports'
import type { Compression } from './options.ts'
import type { EncodedBatch } from './produce-request.ts'
import { RecordBatchBuilder } from './record-batch-builder.ts'

/** Sequence numbers are 31 bits and wrap to 0. */
const SEQUENCE_RANGE = 2 ** 31
const NO_HEADERS: readonly Header[] = []

/** What identifies a producer to the broker. */
export interface ProducerIdentity {
  readonly id: bigint
  readonly epoch: number
}

/** Collects records in one open batch per partition, and numbers the batches. */
export interface Accumulator {
  /** Returns true if it is time to send: a batch, or all together, have reached their size. */
  add(
    topic: string,
    partition: number,
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers?: readonly Header[],
  ): boolean
  /** Closes all open batches, at most one per partition. */
  cut(): RecordBatchBuilder[]
  /** True if a record of this size would take the partition's open batch beyond `batchBytes`: cut first, a request holds one batch per partition. */
  overflows(topic: string, partition: number, key: Uint8Array | null, value: Uint8Array | null): boolean
  /** Compresses and numbers closed batches, just before they are sent: each partition's sequence goes on from its last one. */
  encode(batches: readonly RecordBatchBuilder[], identity: ProducerIdentity): EncodedBatch[]
  /** Bytes added since the last `cut`. */
  readonly bytes: number
  /** Starts the sequences again: the producer has a new id or epoch. */
  resetSequences(): void
}

/** Settings of an accumulator. */
export interface AccumulatorOptions {
  readonly transactional: boolean
  readonly compression: Compression
  readonly batchBytes: number
  /** All open batches together; keeps a request below the broker's `socket.request.max.bytes`. Default 16 MiB. */
  readonly totalBytes?: number
}

/** Creates an empty accumulator. */
export function createAccumulator(options: AccumulatorOptions): Accumulator {
  const { transactional, compression, batchBytes, totalBytes = 16 << 20 } = options
  const topics = new Map<string, (RecordBatchBuilder | undefined)[]>()
  const sequences = new Map<string, number>()
  let open: RecordBatchBuilder[] = []
  let bytes = 0

  function builder(topic: string, partition: number): RecordBatchBuilder {
    let partitions = topics.get(topic)
    if (partitions === undefined) topics.set(topic, (partitions = []))
    let found = partitions[partition]
    if (found === undefined) {
      partitions[partition] = found = new RecordBatchBuilder(topic, partition)
      open.push(found)
      bytes += found.bytes
    }
    return found
  }

  function nextSequence(key: string, count: number): number {
    const sequence = sequences.get(key) ?? 0
    sequences.set(key, (sequence + count) % SEQUENCE_RANGE)
    return sequence
  }

  return {
    add(topic, partition, timestampMs, key, value, headers = NO_HEADERS) {
      const batch = builder(topic, partition)
      const before = batch.bytes
      batch.add(timestampMs, key, value, headers)
      bytes += batch.bytes - before
      return batch.bytes >= batchBytes || bytes >= totalBytes
    },
    overflows(topic, partition, key, value) {
      const found = topics.get(topic)?.[partition]
      if (found === undefined || found.count === 0) return false
      return found.bytes + (key?.length ?? 0) + (value?.length ?? 0) > batchBytes
    },
    cut() {
      const cut = open
      for (const b of cut) (topics.get(b.topic) ?? [])[b.partition] = undefined
      open = []
      bytes = 0
      return cut
    },
    encode: (batches, identity) =>
      batches.map((b) => {
        const sequence = nextSequence(partitionKey(b.topic, b.partition), b.count)
        const stamp = { producerId: identity.id, producerEpoch: identity.epoch, sequence, transactional }
        return { topic: b.topic, partition: b.partition, data: b.finish(stamp, compression), bytes: b.bytes }
      }),
    get bytes() {
      return bytes
    },
    resetSequences: () => sequences.clear(),
  }
}
