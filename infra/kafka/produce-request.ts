import { createAPI, Writer } from '@platformatic/kafka'
import type { Reader } from '@platformatic/kafka'
import type { Api } from './apis.ts'

/** An encoded record batch for one partition. */
export interface EncodedBatch {
  readonly topic: string
  readonly partition: number
  readonly data: Buffer
  /** Bytes before compression: what `pendingBytes` counts. */
  readonly bytes: number
}

/** What the broker says of one batch: 0, or a Kafka error code. */
export interface ProduceResult {
  readonly topic: string
  readonly partition: number
  readonly error: number
  readonly message: string | null
}

/** Arguments of a produce request: transactional id or null, timeout in ms, at most one batch per partition. */
export type ProduceArguments = [string | null, number, readonly EncodedBatch[]]

function createRequest(
  transactionalId: string | null,
  timeoutMs: number,
  batches: readonly EncodedBatch[],
): Writer {
  const topics = Map.groupBy(batches, (b) => b.topic)
  return Writer.create()
    .appendString(transactionalId)
    .appendInt16(-1) // acks: all in-sync replicas
    .appendInt32(timeoutMs)
    .appendArray([...topics], (writer, [topic, list]) => {
      writer.appendString(topic).appendArray(list, (w, b) => {
        w.appendInt32(b.partition)
          .appendUnsignedVarInt(b.data.length + 1)
          .append(b.data)
      })
    })
    .appendTaggedFields()
}

/** One result per partition: the library's parser would turn one failed partition into the failure of all. */
function parseResponse(
  _correlationId: number,
  _key: number,
  _version: number,
  reader: Reader,
): ProduceResult[] {
  return reader
    .readArray((r) => {
      const topic = r.readString()
      return r.readArray((p) => {
        const partition = p.readInt32()
        const error = p.readInt16()
        p.skip(24) // base offset, append time, log start offset
        const recordErrors = p.readArray((e) => [e.readInt32(), e.readNullableString()] as const)
        const message = p.readNullableString() ?? recordErrors[0]?.[1] ?? null
        return { topic, partition, error, message }
      })
    })
    .flat()
}

/** The produce request for record batches that are already encoded: `version` 9 to 11. */
export const createProduceApi = (version: number): Api<ProduceArguments, ProduceResult[]> =>
  createAPI<ProduceArguments, ProduceResult[]>(0, version, createRequest, parseResponse)
