import { Buffer } from 'node:buffer'

const TWO_32 = 2 ** 32

/** Bytes of RowBinary in one buffer that grows; all numbers little-endian. */
export class RowBytes {
  #buffer: Buffer
  #view: DataView
  #at = 0

  /** `capacity` bytes to begin with. */
  constructor(capacity = 65_536) {
    this.#buffer = Buffer.allocUnsafeSlow(capacity)
    this.#view = viewOf(this.#buffer)
  }

  /** Bytes written. */
  get length(): number {
    return this.#at
  }

  /** What was written; valid until the next write or `rewind`. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#at)
  }

  /** Forgets what was written behind `length`. */
  rewind(length: number): void {
    this.#at = length
  }

  /** Makes room for `bytes`; returns where they begin in `buffer`. */
  reserve(bytes: number): number {
    this.#room(bytes)
    return this.#at
  }

  /** What `reserve` made room for has been written up to here. */
  advance(to: number): void {
    this.#at = to
  }

  /** For code that writes after `reserve`; another one after each `reserve`. */
  get buffer(): Uint8Array {
    return this.#buffer
  }

  get view(): DataView {
    return this.#view
  }

  u8(value: number): void {
    this.#room(1)
    this.#buffer[this.#at++] = value
  }

  u16(value: number): void {
    this.#room(2)
    this.#view.setUint16(this.#at, value, true)
    this.#at += 2
  }

  u32(value: number): void {
    this.#room(4)
    this.#view.setUint32(this.#at, value, true)
    this.#at += 4
  }

  /** A whole number within ±2^53; the two's complement of a negative one. */
  i64(value: number): void {
    this.#room(8)
    this.#view.setUint32(this.#at, value, true) // modulo 2^32
    this.#view.setInt32(this.#at + 4, Math.floor(value / TWO_32), true)
    this.#at += 8
  }

  /** A 64-bit integer, signed or not: modulo 2^64. */
  big64(value: bigint): void {
    this.#room(8)
    this.#view.setBigInt64(this.#at, value, true)
    this.#at += 8
  }

  f32(value: number): void {
    this.#room(4)
    this.#view.setFloat32(this.#at, value, true)
    this.#at += 4
  }

  f64(value: number): void {
    this.#room(8)
    this.#view.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  /** LEB128, as lengths are written. */
  varint(value: number): void {
    this.#room(8)
    let rest = value
    while (rest > 127) {
      this.#buffer[this.#at++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.#buffer[this.#at++] = rest
  }

  /** Length and UTF-8 bytes. */
  text(value: string): void {
    const { length } = value
    this.#room(3 * length + 8)
    if (3 * length < 128) {
      // The length fits one byte, whatever the characters take.
      const written = this.#buffer.write(value, this.#at + 1)
      this.#buffer[this.#at] = written
      this.#at += 1 + written
      return
    }
    this.varint(Buffer.byteLength(value))
    this.#at += this.#buffer.write(value, this.#at)
  }

  /** Length and the bytes in `source[start, end)`. */
  range(source: Uint8Array, start: number, end: number): void {
    this.varint(end - start)
    this.#room(end - start)
    this.#buffer.set(source.subarray(start, end), this.#at)
    this.#at += end - start
  }

  #room(bytes: number): void {
    const needed = this.#at + bytes
    if (needed <= this.#buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.#buffer.length))
    this.#buffer.copy(grown, 0, 0, this.#at)
    this.#buffer = grown
    this.#view = viewOf(grown)
  }
}

const viewOf = (buffer: Buffer): DataView => new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
