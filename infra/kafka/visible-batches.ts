import { compressionsAlgorithmsByBitmask } from '@platformatic/kafka'
import { ForestallError } from '#core/ports'
import { checksumOf } from './checksum.ts'
import type { AbortedTransaction, RawPartition } from './fetch-response.ts'
import type { Lz4Decoder } from './lz4.ts'
import type { BatchSource } from './record-cursor.ts'

// Layout of a record batch (format v2), offsets from its start.
const LENGTH = 8
const MAGIC = 16
const CRC = 17
const ATTRIBUTES = 21
const LAST_OFFSET_DELTA = 23
const BASE_TIMESTAMP = 27
const MAX_TIMESTAMP = 35
const PRODUCER_ID = 43
const RECORD_COUNT = 57
const RECORDS = 61

const CODEC_MASK = 0x07
const LZ4 = 3
const APPEND_TIME = 0x08
const TRANSACTIONAL = 0x10
const CONTROL = 0x20

/** A batch found in a response: a place in its buffer, or (records = false) only an offset to skip to. */
export interface FoundBatch {
  /** False: nothing to hand out (aborted, control), the position only moves on. */
  readonly records: boolean
  readonly buffer: Buffer
  readonly at: number
  readonly end: number
  readonly baseOffset: number
  readonly fromOffset: number
  readonly nextOffset: number
}

/** A control record's key is version (int16) and type (int16): 0 aborts, 1 commits. Control batches are never compressed. */
function isAbortMarker(buffer: Buffer, at: number): boolean {
  if (buffer.readInt32BE(at + RECORD_COUNT) === 0) return false // emptied by compaction
  let position = at + RECORDS
  const skipVarint = () => {
    while ((buffer[position] as number) & 128) position++
    position++
  }
  skipVarint() // record length
  position++ // attributes
  skipVarint() // timestamp
  skipVarint() // offset
  skipVarint() // key length
  return buffer.readInt16BE(position + 2) === 0
}

/**
 * Decides batch by batch whether it is void, by the rule of Java's consumer (`CompletedFetch`): a transaction of
 * the broker's list counts once a batch reaches its first offset, and until the producer's abort marker.
 */
function createAbortedFilter(
  list: AbortedTransaction[],
): (buffer: Buffer, at: number, lastOffset: number) => boolean {
  const pending = list.toSorted((a, b) => a.firstOffset - b.firstOffset)
  const open = new Set<bigint>()
  let next = 0
  return (buffer, at, lastOffset) => {
    for (let p = pending[next]; p !== undefined && p.firstOffset <= lastOffset; p = pending[++next]) {
      open.add(p.producerId)
    }
    if (open.size === 0) return false
    const attributes = buffer.readInt16BE(at + ATTRIBUTES)
    const producerId = buffer.readBigInt64BE(at + PRODUCER_ID)
    if ((attributes & CONTROL) !== 0) {
      if (isAbortMarker(buffer, at)) open.delete(producerId)
      return false
    }
    return (attributes & TRANSACTIONAL) !== 0 && open.has(producerId)
  }
}

/**
 * Lists what a response brings for one partition from `fromOffset` on, in order, by reading batch headers only.
 * With `readCommitted` the batches of aborted transactions are skipped; control batches always are.
 */
export function findBatches(
  buffer: Buffer,
  part: RawPartition,
  fromOffset: number,
  readCommitted: boolean,
): FoundBatch[] {
  const found: FoundBatch[] = []
  const isAborted = createAbortedFilter(readCommitted ? part.aborted : [])
  let from = fromOffset
  let at = part.start
  while (at + RECORDS <= part.end) {
    const end = at + 12 + buffer.readInt32BE(at + LENGTH)
    if (end > part.end) break // the broker may cut the last batch short
    const baseOffset = Number(buffer.readBigInt64BE(at))
    if (buffer[at + MAGIC] !== 2) {
      throw new ForestallError(
        'BATCH_CORRUPT',
        `batch at offset ${baseOffset} has message format ${buffer[at + MAGIC]}, not 2`,
      )
    }
    const lastOffset = baseOffset + buffer.readInt32BE(at + LAST_OFFSET_DELTA)
    const control = (buffer.readInt16BE(at + ATTRIBUTES) & CONTROL) !== 0
    const aborted = isAborted(buffer, at, lastOffset)
    if (lastOffset >= from) {
      const records = !control && !aborted && buffer.readInt32BE(at + RECORD_COUNT) > 0
      found.push({ records, buffer, at, end, baseOffset, fromOffset: from, nextOffset: lastOffset + 1 })
      from = lastOffset + 1
    }
    at = end
  }
  return found
}

/**
 * Checks the CRC-32C of a batch and decompresses it. With `lz4` the records are valid until the next batch is opened.
 * Throws BATCH_CORRUPT naming topic, partition and offset.
 */
export function openBatch(
  batch: FoundBatch,
  topic: string,
  partition: number,
  generationId: number,
  lz4?: Lz4Decoder,
): BatchSource {
  const { buffer, at, end } = batch
  const corrupt = (what: string, cause?: unknown): ForestallError =>
    new ForestallError(
      'BATCH_CORRUPT',
      `the batch at ${topic}-${partition} offset ${batch.baseOffset} ${what}`,
      cause === undefined ? {} : { cause },
    )
  if (checksumOf(buffer.subarray(at + ATTRIBUTES, end)) !== buffer.readUInt32BE(at + CRC))
    throw corrupt('fails its checksum')
  const attributes = buffer.readInt16BE(at + ATTRIBUTES)
  const appendTime = (attributes & APPEND_TIME) !== 0
  const source = {
    topic,
    partition,
    generationId,
    recordCount: buffer.readInt32BE(at + RECORD_COUNT),
    baseOffset: batch.baseOffset,
    baseTimestampMs: Number(buffer.readBigInt64BE(at + (appendTime ? MAX_TIMESTAMP : BASE_TIMESTAMP))),
    appendTime,
    fromOffset: batch.fromOffset,
    nextOffset: batch.nextOffset,
  }
  const codec = attributes & CODEC_MASK
  if (codec === 0) return { ...source, buffer, start: at + RECORDS }
  const compressed = buffer.subarray(at + RECORDS, end)
  const algorithm = compressionsAlgorithmsByBitmask[codec]
  if (algorithm === undefined) throw corrupt(`has unknown codec ${codec}`)
  try {
    const records =
      codec === LZ4 && lz4 !== undefined ? lz4.decode(compressed) : algorithm.decompressSync(compressed)
    return { ...source, buffer: records, start: 0 }
  } catch (error) {
    throw corrupt(`cannot be decompressed (codec ${codec})`, error)
  }
}
