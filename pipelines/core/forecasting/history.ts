import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats } from './model.ts'

/** The last `limit` values of a series (32-bit floats, NaN = gap). Memory grows with what is held. */
export class History {
  readonly #limit: number
  #ring: Float32Array
  #start = 0
  #length = 0

  constructor(limit: number) {
    this.#limit = limit
    this.#ring = new Float32Array(Math.min(limit, 32))
  }

  /** Values held. */
  get length(): number {
    return this.#length
  }

  /** Bytes held. */
  get memoryBytes(): number {
    return this.#ring.byteLength
  }

  /** Appends a value; the oldest leaves once the limit is reached. */
  push(value: number): void {
    if (this.#length === this.#ring.length && this.#length < this.#limit) this.#grow()
    if (this.#length < this.#ring.length) this.#ring[this.#length++] = value
    else {
      this.#ring[this.#start] = value
      this.#start = this.#start + 1 === this.#ring.length ? 0 : this.#start + 1
    }
  }

  /** A copy, oldest first. */
  values(): Float64Array {
    const out = new Float64Array(this.#length)
    const tail = this.#length - this.#start
    out.set(this.#ring.subarray(this.#start, this.#length))
    out.set(this.#ring.subarray(0, this.#start), tail)
    return out
  }

  /** Forgets everything. */
  clear(): void {
    this.#start = 0
    this.#length = 0
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#length)
    encodeFloats(writer, Float32Array.from(this.values()))
  }

  decode(reader: ByteReader): void {
    const length = Math.min(this.#limit, reader.varint())
    this.#ring = new Float32Array(Math.min(this.#limit, Math.max(32, length)))
    decodeFloats(reader, this.#ring.subarray(0, length))
    this.#start = 0
    this.#length = length
  }

  /** Only called before the ring has wrapped. */
  #grow(): void {
    const grown = new Float32Array(Math.min(this.#limit, this.#ring.length * 2))
    grown.set(this.#ring)
    this.#ring = grown
  }
}
