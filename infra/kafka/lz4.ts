import { Buffer } from 'node:buffer'

const MAGIC = 0x184d2204
const HAS_DICTIONARY = 0x01
const HAS_CONTENT_SIZE = 0x08
const HAS_BLOCK_CHECKSUM = 0x10
const UNCOMPRESSED = 0x80000000
/** Copies go by eight bytes: up to seven are written beyond the end, and overwritten by what follows. */
const WORD = 8
const FIRST_BYTES = 1 << 17
/** A larger buffer is given back once its batch is done. */
const KEPT_BYTES = 8 << 20

/**
 * Decompresses LZ4 frames (as Kafka uses them) into one buffer that is used again by the next: what it returns is valid
 * until then. A copy into a new buffer of the bytes that WASM returns costs more than the decompression itself.
 */
export class Lz4Decoder {
  #out = Buffer.allocUnsafeSlow(FIRST_BYTES)
  #view = new DataView(this.#out.buffer)
  #at = 0

  /** The content of a frame. Throws RangeError if the bytes are not one. */
  decode(frame: Buffer): Buffer {
    this.#at = 0
    if (this.#out.length > KEPT_BYTES) this.#resize(FIRST_BYTES)
    const input = new DataView(frame.buffer, frame.byteOffset, frame.length)
    if (input.getUint32(0, true) !== MAGIC) throw new RangeError('no LZ4 frame')
    const flags = input.getUint8(4)
    if ((flags & HAS_DICTIONARY) !== 0) throw new RangeError('an LZ4 frame with a dictionary')
    const checksumBytes = (flags & HAS_BLOCK_CHECKSUM) === 0 ? 0 : 4
    // Magic, flags, block size, (content size,) header checksum.
    let at = (flags & HAS_CONTENT_SIZE) === 0 ? 7 : 15
    for (;;) {
      const word = input.getUint32(at, true)
      at += 4
      if (word === 0) return this.#out.subarray(0, this.#at)
      const length = word & (UNCOMPRESSED - 1)
      if (length > frame.length - at) throw new RangeError('an LZ4 block beyond the end of its frame')
      if (word >= UNCOMPRESSED) this.#append(frame, at, length)
      else this.#block(frame, input, at, at + length)
      at += length + checksumBytes
    }
  }

  #append(frame: Buffer, at: number, length: number): void {
    this.#reserve(length)
    frame.copy(this.#out, this.#at, at, at + length)
    this.#at += length
  }

  /** A block: sequences of literals, each but the last followed by a copy of what came before. */
  #block(frame: Buffer, input: DataView, start: number, end: number): void {
    let at = start
    // Room for all literals; copies ask for more.
    this.#reserve(end - start)
    while (at < end) {
      const token = frame[at++] as number
      let literals = token >>> 4
      if (literals === 15) {
        let more = 255
        for (; more === 255; literals += more) more = input.getUint8(at++)
      }
      if (literals > end - at) throw new RangeError('LZ4 literals beyond the end of their block')
      if (literals > 0) this.#literals(frame, input, at, literals, end)
      at += literals
      if (at === end) return
      const distance = input.getUint16(at, true)
      at += 2
      let length = (token & 15) + 4
      if (length === 19) {
        let more = 255
        for (; more === 255; length += more) more = input.getUint8(at++)
      }
      this.#copy(distance, length, end - at)
    }
    if (at > end) throw new RangeError('an LZ4 sequence beyond the end of its block')
  }

  #literals(frame: Buffer, input: DataView, at: number, length: number, end: number): void {
    const to = this.#at
    this.#at = to + length
    if (at + length + WORD > end) {
      for (let i = 0; i < length; i++) this.#out[to + i] = frame[at + i] as number
      return
    }
    const view = this.#view
    for (let i = 0; i < length; i += WORD) view.setBigUint64(to + i, input.getBigUint64(at + i, true), true)
  }

  /** Repeats `length` bytes from `distance` back; they may overlap. `left` bytes of the block are still to come. */
  #copy(distance: number, length: number, left: number): void {
    const to = this.#at
    const from = to - distance
    if (distance === 0 || from < 0) throw new RangeError('an LZ4 copy from before the beginning')
    if (to + length + left + WORD > this.#out.length) this.#reserve(length + left)
    this.#at = to + length
    const view = this.#view
    if (distance >= WORD) {
      for (let i = 0; i < length; i += WORD)
        view.setBigUint64(to + i, view.getBigUint64(from + i, true), true)
    } else {
      const out = this.#out
      for (let i = 0; i < length; i++) out[to + i] = out[from + i] as number
    }
  }

  #reserve(bytes: number): void {
    const need = this.#at + bytes + WORD
    if (need > this.#out.length) this.#resize(Math.max(need, this.#out.length * 2))
  }

  #resize(bytes: number): void {
    const out = Buffer.allocUnsafeSlow(bytes)
    this.#out.copy(out, 0, 0, Math.min(this.#at, bytes))
    this.#out = out
    this.#view = new DataView(out.buffer)
  }
}
