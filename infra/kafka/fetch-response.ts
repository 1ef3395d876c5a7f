import { createAPI, fetchV12, fetchV17 } from '@platformatic/kafka'
import type { Reader } from '@platformatic/kafka'
import type { AnswerBuffers } from './answer-buffers.ts'
import type { Api } from './apis.ts'

/** A transaction that was aborted: batches of `producerId` from `firstOffset` up to its abort marker are void. */
export interface AbortedTransaction {
  readonly producerId: bigint
  readonly firstOffset: number
}

/** The answer for one partition; its record batches are the bytes start..end of the response. */
export interface RawPartition {
  /** Topic id in 32 hexadecimal digits, or the topic's name in version 12. */
  readonly topicKey: string
  readonly partition: number
  /** Kafka error code, 0 if none. */
  readonly error: number
  readonly lastStableOffset: number
  readonly logStartOffset: number
  readonly aborted: AbortedTransaction[]
  readonly start: number
  readonly end: number
}

/** A fetch response whose records are still bytes. */
export interface RawFetch {
  readonly buffer: Buffer
  readonly throttleMs: number
  readonly error: number
  readonly partitions: RawPartition[]
}

/** Reads the primitive types of Kafka's flexible versions from one contiguous buffer. */
function createScanner(buffer: Buffer) {
  let at = 0
  const scanner = {
    position: () => at,
    skip(bytes: number) {
      at += bytes
    },
    int16() {
      at += 2
      return buffer.readInt16BE(at - 2)
    },
    int32() {
      at += 4
      return buffer.readInt32BE(at - 4)
    },
    int64() {
      at += 8
      return buffer.readBigInt64BE(at - 8)
    },
    unsigned() {
      let value = 0
      let scale = 1
      let byte = 0
      do {
        byte = buffer.readUInt8(at++)
        value += (byte & 127) * scale
        scale *= 128
      } while (byte & 128)
      return value
    },
    text(encoding: 'utf8' | 'hex', bytes: number) {
      at += bytes
      return buffer.toString(encoding, at - bytes, at)
    },
    /** Tagged fields: the diverging epoch, the present leader, node endpoints. We ask for the metadata instead. */
    tags() {
      for (let n = scanner.unsigned(); n > 0; n--) {
        scanner.unsigned()
        const bytes = scanner.unsigned()
        at += bytes
      }
    },
  }
  return scanner
}

type Scanner = ReturnType<typeof createScanner>

function readAborted(s: Scanner): AbortedTransaction[] {
  const aborted: AbortedTransaction[] = []
  for (let n = s.unsigned() - 1; n > 0; n--) {
    aborted.push({ producerId: s.int64(), firstOffset: Number(s.int64()) })
    s.tags()
  }
  return aborted
}

function readPartition(s: Scanner, topicKey: string): RawPartition {
  const partition = s.int32()
  const error = s.int16()
  s.skip(8) // high watermark
  const lastStableOffset = Number(s.int64())
  const logStartOffset = Number(s.int64())
  const aborted = readAborted(s)
  s.skip(4) // preferred read replica: we always read from the leader
  const bytes = Math.max(0, s.unsigned() - 1)
  const start = s.position()
  s.skip(bytes)
  s.tags()
  return { topicKey, partition, error, lastStableOffset, logStartOffset, aborted, start, end: start + bytes }
}

/** Parses the body of a fetch response, version 12 (topics by name) or 13 to 17 (topics by id). */
export function parseFetch(buffer: Buffer, byName: boolean): RawFetch {
  const s = createScanner(buffer)
  const throttleMs = s.int32()
  const error = s.int16()
  s.skip(4) // fetch session: we open none
  const partitions: RawPartition[] = []
  for (let topics = s.unsigned() - 1; topics > 0; topics--) {
    const topicKey = byName ? s.text('utf8', s.unsigned() - 1) : s.text('hex', 16)
    for (let n = s.unsigned() - 1; n > 0; n--) partitions.push(readPartition(s, topicKey))
    s.tags()
  }
  return { buffer, throttleMs, error, partitions }
}

/** What is asked of one topic: its id (its name in version 12) and partitions. */
export interface FetchTopic {
  readonly topicId: string
  readonly partitions: {
    readonly partition: number
    readonly currentLeaderEpoch: number
    readonly fetchOffset: bigint
    readonly lastFetchedEpoch: number
    readonly partitionMaxBytes: number
  }[]
}

/** Arguments of a fetch: maxWaitMs, minBytes, maxBytes, isolation level, session id and epoch, topics, forgotten, rack. */
export type FetchArguments = [number, number, number, number, number, number, FetchTopic[], [], string]

/** The request of the library with our response: `version` 12 to 17. */
export function createFetchApi(version: number, memory?: AnswerBuffers): Api<FetchArguments, RawFetch> {
  const byName = version < 13
  const parse = (_correlationId: number, _key: number, _version: number, reader: Reader): RawFetch =>
    parseFetch(memory?.join(reader.buffer, reader.position) ?? reader.buffer.slice(reader.position), byName)
  return createAPI<FetchArguments, RawFetch>(
    1,
    version,
    byName ? fetchV12.createRequest : fetchV17.createRequest,
    parse,
  )
}
