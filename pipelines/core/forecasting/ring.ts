import type { ByteReader, ByteWriter } from '#core/math'
import { decodeFloats, encodeFloats } from './model.ts'

/** The last `size` values of a model's state, as 32-bit floats. */
export class Ring {
  readonly #values: Float32Array
  #at = 0

  constructor(size: number) {
    this.#values = new Float32Array(size)
  }

  /** Bytes held. */
  get memoryBytes(): number {
    return this.#values.byteLength + 8
  }

  /** The value pushed `lag` pushes ago: 1 is the last, `size` the oldest. */
  back(lag: number): number {
    const at = this.#at - lag
    return this.#values[at < 0 ? at + this.#values.length : at] as number
  }

  push(value: number): void {
    this.#values[this.#at] = value
    this.#at = this.#at + 1 === this.#values.length ? 0 : this.#at + 1
  }

  /** Forgets all: every value becomes `value`. */
  fill(value: number): void {
    this.#values.fill(value)
    this.#at = 0
  }

  encode(writer: ByteWriter): void {
    writer.varint(this.#at)
    encodeFloats(writer, this.#values)
  }

  decode(reader: ByteReader): void {
    this.#at = reader.varint() % this.#values.length
    decodeFloats(reader, this.#values)
  }
}
