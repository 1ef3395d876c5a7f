import { Buffer } from 'node:buffer'
import type { Header, RecordCursor } from '../../ports/index.ts'

/** A record in a log of the test driver. */
export interface LogRecord {
  readonly timestampMs: number
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: readonly Header[]
}

/** Walks records of an array as if they were a fetched batch: all of them lie in one buffer. */
export class LogCursor implements RecordCursor {
  readonly topic: string
  readonly partition: number
  readonly nextOffset: number
  readonly recordCount: number
  readonly buffer: Buffer
  offset: number
  timestampMs = 0
  keyStart = 0
  keyLength = -1
  valueStart = 0
  valueLength = -1
  headersStart = 0
  recordEnd = 0
  readonly #log: readonly LogRecord[]
  readonly #headers: readonly Buffer[]
  readonly #from: number
  #position = 0

  /** The records [from, to) of a log. */
  constructor(topic: string, partition: number, log: readonly LogRecord[], from: number, to: number) {
    this.topic = topic
    this.partition = partition
    this.#log = log
    this.offset = from - 1
    this.nextOffset = to
    this.recordCount = to - from
    const records = log.slice(from, to)
    this.#headers = records.map(({ headers }) => encodeHeaders(headers))
    this.buffer = Buffer.concat(
      records.flatMap(({ key, value }, i) => [key ?? NONE, value ?? NONE, this.#headers[i] ?? NONE]),
    )
    this.#from = from
  }

  next(): boolean {
    if (this.offset + 1 >= this.nextOffset) return false
    this.offset++
    const record = this.#log[this.offset] as LogRecord
    this.timestampMs = record.timestampMs
    this.keyStart = this.#position
    this.keyLength = record.key?.length ?? -1
    this.valueStart = this.keyStart + Math.max(0, this.keyLength)
    this.valueLength = record.value?.length ?? -1
    this.headersStart = this.valueStart + Math.max(0, this.valueLength)
    this.recordEnd = this.headersStart + (this.#headers[this.offset - this.#from]?.length ?? 0)
    this.#position = this.recordEnd
    return true
  }
}

const NONE = Buffer.alloc(0)

function encodeHeaders(headers: readonly Header[]): Buffer {
  const bytes: number[] = []
  const zigzag = (value: number) => {
    let rest = value * 2
    while (rest > 127) {
      bytes.push((rest % 128) | 128)
      rest = Math.floor(rest / 128)
    }
    bytes.push(rest)
  }
  zigzag(headers.length)
  for (const [name, value] of headers) {
    const key = Buffer.from(name)
    zigzag(key.length)
    bytes.push(...key)
    zigzag(value.length)
    bytes.push(...value)
  }
  return Buffer.from(bytes)
}
