import type { RecordCursor } from '#core/ports'

/** Where a batch lies and what its header says. */
export interface BatchSource {
  readonly topic: string
  readonly partition: number
  readonly generationId: number
  /** Decompressed records from `start` on. */
  readonly buffer: Buffer
  readonly start: number
  readonly recordCount: number
  readonly baseOffset: number
  readonly baseTimestampMs: number
  /** The topic stamps batches by append time: it holds for every record. */
  readonly appendTime: boolean
  /** Records below are skipped: a batch can begin before the offset that was asked for. */
  readonly fromOffset: number
  readonly nextOffset: number
}

/** Walks a record batch in place. One instance serves all batches of a reader: no object per record or batch. */
export class BatchCursor implements RecordCursor {
  topic = ''
  partition = 0
  /** Generation of the assignment under which the batch was fetched; -1 outside a group. */
  generationId = -1
  buffer: Buffer = Buffer.alloc(0)
  offset = 0
  timestampMs = 0
  keyStart = 0
  keyLength = -1
  valueStart = 0
  valueLength = -1
  headersStart = 0
  recordEnd = 0
  nextOffset = 0
  recordCount = 0
  #position = 0
  #left = 0
  #baseOffset = 0
  #baseTimestampMs = 0
  #fromOffset = 0
  #appendTime = false

  /** Points the cursor before the first record of a batch. */
  open(source: BatchSource): void {
    this.topic = source.topic
    this.partition = source.partition
    this.generationId = source.generationId
    this.buffer = source.buffer
    this.recordCount = source.recordCount
    this.nextOffset = source.nextOffset
    this.#position = source.start
    this.#left = source.recordCount
    this.#baseOffset = source.baseOffset
    this.#baseTimestampMs = source.baseTimestampMs
    this.#fromOffset = source.fromOffset
    this.#appendTime = source.appendTime
  }

  next(): boolean {
    while (this.#left-- > 0) {
      const length = this.#varint()
      this.recordEnd = this.#position + length
      this.#position++ // record attributes: unused by Kafka
      const timestampDelta = this.#varlong()
      this.offset = this.#baseOffset + this.#varint()
      this.timestampMs = this.#appendTime ? this.#baseTimestampMs : this.#baseTimestampMs + timestampDelta
      this.keyLength = this.#varint()
      this.keyStart = this.#position
      if (this.keyLength > 0) this.#position += this.keyLength
      this.valueLength = this.#varint()
      this.valueStart = this.#position
      this.headersStart = this.valueLength > 0 ? this.#position + this.valueLength : this.#position
      this.#position = this.recordEnd
      if (this.offset >= this.#fromOffset) return true
    }
    return false
  }

  #varint(): number {
    const b = this.buffer
    let byte = b[this.#position++] as number
    let value = byte & 127
    for (let shift = 7; byte & 128; shift += 7) {
      byte = b[this.#position++] as number
      value |= (byte & 127) << shift
    }
    return (value >>> 1) ^ -(value & 1)
  }

  /** Multiplies instead of shifting: timestamps exceed 32 bits. */
  #varlong(): number {
    const b = this.buffer
    let byte = b[this.#position++] as number
    let value = byte & 127
    for (let scale = 128; byte & 128; scale *= 128) {
      byte = b[this.#position++] as number
      value += (byte & 127) * scale
    }
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2
  }
}
