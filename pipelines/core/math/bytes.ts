const CHUNK = 0x100000000

/**
 * A growing byte buffer for states and partial aggregates. Little-endian. Reuse one per task:
 * `reset` keeps the memory, `view` gives the bytes written so far without a copy.
 */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>
  #data: DataView
  #at = 0

  /** `capacity`: first size in bytes; grows by doubling. */
  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(Math.max(16, capacity))
    this.#data = new DataView(this.#bytes.buffer)
  }

  /** Bytes written since the last reset. */
  get length(): number {
    return this.#at
  }

  /** Forgets what was written, keeps the memory. */
  reset(): void {
    this.#at = 0
  }

  /** One byte (0..255). */
  u8(value: number): void {
    this.#room(1)
    this.#bytes[this.#at++] = value
  }

  /** A 32-bit unsigned integer. */
  u32(value: number): void {
    this.#room(4)
    this.#data.setUint32(this.#at, value, true)
    this.#at += 4
  }

  /** A 32-bit float (rounds). */
  f32(value: number): void {
    this.#room(4)
    this.#data.setFloat32(this.#at, value, true)
    this.#at += 4
  }

  /** A 64-bit float. */
  f64(value: number): void {
    this.#room(8)
    this.#data.setFloat64(this.#at, value, true)
    this.#at += 8
  }

  /** A non-negative integer below 2^53, 7 bits a byte, low first. */
  varint(value: number): void {
    this.#room(8)
    let rest = value
    while (rest >= CHUNK) {
      this.#bytes[this.#at++] = (rest % 128) | 0x80
      rest = Math.floor(rest / 128)
    }
    rest >>>= 0
    while (rest >= 0x80) {
      this.#bytes[this.#at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.#bytes[this.#at++] = rest
  }

  /** A signed integer of at most 31 bits, zigzag. */
  zigzag(value: number): void {
    this.varint(((value << 1) ^ (value >> 31)) >>> 0)
  }

  /** Raw bytes, without a length. */
  bytes(source: Uint8Array): void {
    this.#room(source.length)
    this.#bytes.set(source, this.#at)
    this.#at += source.length
  }

  /** UTF-8 text with its byte length before it. */
  text(value: string): void {
    const encoded = new TextEncoder().encode(value)
    this.varint(encoded.length)
    this.bytes(encoded)
  }

  /** The bytes written so far; valid until the next write or reset. */
  view(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#at)
  }

  /** A copy of the bytes written so far. */
  take(): Uint8Array<ArrayBuffer> {
    return this.#bytes.slice(0, this.#at)
  }

  #room(more: number): void {
    const need = this.#at + more
    if (need <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(need, this.#bytes.length * 2))
    grown.set(this.#bytes.subarray(0, this.#at))
    this.#bytes = grown
    this.#data = new DataView(grown.buffer)
  }
}

/** Reads what a `ByteWriter` wrote. Throws RangeError past the end. */
export class ByteReader {
  readonly #bytes: Uint8Array
  readonly #data: DataView
  #at: number
  readonly #end: number

  /** Reads `bytes[start, end)`; the bytes are not copied. */
  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#at = start
    this.#end = end
  }

  /** Position of the next read. */
  get position(): number {
    return this.#at
  }

  /** Bytes left. */
  get remaining(): number {
    return this.#end - this.#at
  }

  /** One byte. */
  u8(): number {
    return this.#bytes[this.#take(1)] ?? 0
  }

  /** A 32-bit unsigned integer. */
  u32(): number {
    return this.#data.getUint32(this.#take(4), true)
  }

  /** A 32-bit float. */
  f32(): number {
    return this.#data.getFloat32(this.#take(4), true)
  }

  /** A 64-bit float. */
  f64(): number {
    return this.#data.getFloat64(this.#take(8), true)
  }

  /** A non-negative integer below 2^53. */
  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.u8()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new RangeError('varint longer than 8 bytes')
  }

  /** A signed integer of at most 31 bits. */
  zigzag(): number {
    const raw = this.varint()
    return (raw >>> 1) ^ -(raw & 1)
  }

  /** `length` raw bytes, not copied. */
  bytes(length: number): Uint8Array {
    const at = this.#take(length)
    return this.#bytes.subarray(at, at + length)
  }

  /** UTF-8 text written by `text`. */
  text(): string {
    return new TextDecoder().decode(this.bytes(this.varint()))
  }

  #take(length: number): number {
    const at = this.#at
    if (at + length > this.#end) throw new RangeError(`needs ${length} bytes at ${at}, has ${this.#end - at}`)
    this.#at = at + length
    return at
  }
}
