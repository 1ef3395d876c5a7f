import { compressionsAlgorithms } from '@platformatic/kafka'
import type { Header } from '#core/ports'
import { checksumOf } from './checksum.ts'
import type { Compression } from './options.ts'

const HEADER_BYTES = 61
const TRANSACTIONAL = 0x10
/** Room for a record's lengths, deltas and counts. */
const RECORD_OVERHEAD = 48

/** Who sends a batch: what the broker checks for duplicates and zombies. */
export interface BatchIdentity {
  readonly producerId: bigint
  readonly producerEpoch: number
  readonly sequence: number
  readonly transactional: boolean
}

const zigzag = (v: number): number => (v >= 0 ? v * 2 : -v * 2 - 1)

function varintBytes(zigzagged: number): number {
  let n = 1
  for (let v = zigzagged; v > 127; v = Math.floor(v / 128)) n++
  return n
}

/** Encodes records of one partition straight into one growing buffer, in Kafka's batch format v2. */
export class RecordBatchBuilder {
  readonly topic: string
  readonly partition: number
  count = 0
  #buffer: Buffer
  #position = HEADER_BYTES
  #baseTimestampMs = 0
  #maxTimestampMs = 0

  constructor(topic: string, partition: number, initialBytes = 1 << 14) {
    this.topic = topic
    this.partition = partition
    this.#buffer = Buffer.allocUnsafe(initialBytes)
  }

  /** Bytes so far, before compression. */
  get bytes(): number {
    return this.#position
  }

  /** Copies a record in. Null and empty keys and values stay different. */
  add(
    timestampMs: number,
    key: Uint8Array | null,
    value: Uint8Array | null,
    headers: readonly Header[],
  ): void {
    if (this.count === 0) {
      this.#baseTimestampMs = timestampMs
      this.#maxTimestampMs = timestampMs
    } else if (timestampMs > this.#maxTimestampMs) this.#maxTimestampMs = timestampMs
    const keyLength = key === null ? -1 : key.length
    const valueLength = value === null ? -1 : value.length
    const timestampDelta = zigzag(timestampMs - this.#baseTimestampMs)
    const offsetDelta = zigzag(this.count)
    const encodedHeaders = headers.length === 0 ? null : encodeHeaders(headers)
    const headerBytes = encodedHeaders === null ? 1 : encodedHeaders.length
    const length =
      1 +
      varintBytes(timestampDelta) +
      varintBytes(offsetDelta) +
      varintBytes(zigzag(keyLength)) +
      Math.max(keyLength, 0) +
      varintBytes(zigzag(valueLength)) +
      Math.max(valueLength, 0) +
      headerBytes
    this.#reserve(length + RECORD_OVERHEAD)
    this.#varint(length * 2)
    this.#buffer[this.#position++] = 0
    this.#varint(timestampDelta)
    this.#varint(offsetDelta)
    this.#bytes(key, keyLength)
    this.#bytes(value, valueLength)
    if (encodedHeaders === null) this.#buffer[this.#position++] = 0
    else this.#append(encodedHeaders)
    this.count++
  }

  /** Compresses, stamps and returns the batch. The builder is not to be used afterwards. */
  finish(identity: BatchIdentity, compression: Compression): Buffer {
    let attributes = identity.transactional ? TRANSACTIONAL : 0
    let batch = this.#buffer.subarray(0, this.#position)
    if (compression !== 'none') {
      const algorithm = compressionsAlgorithms[compression]
      const compressed = algorithm.compressSync(batch.subarray(HEADER_BYTES))
      if (compressed.length + HEADER_BYTES < batch.length) {
        attributes |= algorithm.bitmask
        batch = Buffer.allocUnsafe(HEADER_BYTES + compressed.length)
        batch.set(compressed, HEADER_BYTES)
      }
    }
    batch.writeBigInt64BE(0n, 0) // base offset: the broker's
    batch.writeInt32BE(batch.length - 12, 8)
    batch.writeInt32BE(-1, 12) // partition leader epoch: the broker's
    batch[16] = 2
    batch.writeInt16BE(attributes, 21)
    batch.writeInt32BE(this.count - 1, 23)
    batch.writeBigInt64BE(BigInt(this.#baseTimestampMs), 27)
    batch.writeBigInt64BE(BigInt(this.#maxTimestampMs), 35)
    batch.writeBigInt64BE(identity.producerId, 43)
    batch.writeInt16BE(identity.producerEpoch, 51)
    batch.writeInt32BE(identity.sequence, 53)
    batch.writeInt32BE(this.count, 57)
    batch.writeUInt32BE(checksumOf(batch.subarray(21)), 17)
    return batch
  }

  #reserve(bytes: number): void {
    if (this.#position + bytes <= this.#buffer.length) return
    const grown = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#position + bytes))
    this.#buffer.copy(grown, 0, 0, this.#position)
    this.#buffer = grown
  }

  #varint(zigzagged: number): void {
    const b = this.#buffer
    let v = zigzagged
    while (v > 127) {
      b[this.#position++] = (v % 128) | 128
      v = Math.floor(v / 128)
    }
    b[this.#position++] = v
  }

  #bytes(data: Uint8Array | null, length: number): void {
    this.#varint(zigzag(length))
    if (data !== null && length > 0) this.#append(data)
  }

  #append(data: Uint8Array): void {
    this.#buffer.set(data, this.#position)
    this.#position += data.length
  }
}

/** A zigzag varint count, then for each header key length, key, value length, value. */
function encodeHeaders(headers: readonly Header[]): Buffer {
  const parts: Buffer[] = [varint(headers.length)]
  for (const [name, value] of headers) {
    const key = Buffer.from(name)
    parts.push(
      varint(key.length),
      key,
      varint(value.length),
      Buffer.from(value.buffer, value.byteOffset, value.length),
    )
  }
  return Buffer.concat(parts)
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let v = zigzag(value)
  while (v > 127) {
    bytes.push((v % 128) | 128)
    v = Math.floor(v / 128)
  }
  bytes.push(v)
  return Buffer.from(bytes)
}
