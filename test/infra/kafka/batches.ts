import type { RawPartition } from '../../../infra/kafka/fetch-response.ts'
import { RecordBatchBuilder } from '../../../infra/kafka/record-batch-builder.ts'
import { crc32c } from '@platformatic/kafka'
import type { Compression } from '../../../infra/kafka/options.ts'

const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** A batch to put into a log. */
export interface TestBatch {
  readonly at: number
  readonly values: readonly string[]
  readonly producerId?: number
  readonly transactional?: boolean
  /** A control batch: 0 aborts, 1 commits. */
  readonly marker?: 0 | 1
  readonly compression?: Compression
}

function stamp(batch: Buffer, baseOffset: number, extraAttributes: number): Buffer {
  batch.writeBigInt64BE(BigInt(baseOffset), 0)
  batch.writeInt16BE(batch.readInt16BE(21) | extraAttributes, 21)
  batch.writeUInt32BE(crc32c(batch.subarray(21)), 17)
  return batch
}

/** Bytes of a batch as a broker stores it. */
export function encodeBatch({
  at,
  values,
  producerId = -1,
  transactional = false,
  marker,
  compression = 'none',
}: TestBatch): Buffer {
  const builder = new RecordBatchBuilder('t', 0)
  if (marker === undefined) for (const value of values) builder.add(1000, null, Buffer.from(value), [])
  else builder.add(1000, Buffer.from([0, 0, 0, marker]), Buffer.alloc(6), [])
  const identity = { producerId: BigInt(producerId), producerEpoch: 0, sequence: 0, transactional }
  return stamp(builder.finish(identity, compression), at, marker === undefined ? 0 : TRANSACTIONAL | CONTROL)
}

/** The answer for one partition with these batches. */
export function partitionOf(
  batches: readonly Buffer[],
  aborted: RawPartition['aborted'] = [],
): { buffer: Buffer; part: RawPartition } {
  const buffer = Buffer.concat(batches)
  const part: RawPartition = {
    topicKey: 't',
    partition: 0,
    error: 0,
    lastStableOffset: 0,
    logStartOffset: 0,
    aborted,
    start: 0,
    end: buffer.length,
  }
  return { buffer, part }
}
