import type { Buffer } from 'node:buffer'

const MAX_BYTES = 10
const BITS_28 = 2 ** 28
const BITS_56 = 2 ** 56

/** Reads protobuf varints in place. The last value is kept in three pieces: a double would lose bits of 64. */
export interface VarintReader {
  /** Position of the next byte. */
  at: number
  /** Reads one; false if it is cut off at `end` or longer than 10 bytes. */
  read(buffer: Buffer, end: number): boolean
  /** The last value as a double: exact up to 2^53. */
  number(): number
  /** The last value, exact. */
  bigint(): bigint
}

/** A reader that starts at `at`. */
export function varintReader(at: number): VarintReader {
  let low = 0
  let middle = 0
  let high = 0
  return {
    at,
    read(buffer, end) {
      low = middle = high = 0
      for (let n = 0; n < MAX_BYTES; n++) {
        if (this.at >= end) return false
        const byte = buffer[this.at++] as number
        const bits = byte & 127
        if (n < 4) low |= bits << (7 * n)
        else if (n < 8) middle |= bits << (7 * (n - 4))
        else high |= bits << (7 * (n - 8))
        if (byte < 128) return true
      }
      return false
    },
    number: () => low + middle * BITS_28 + (high & 255) * BITS_56,
    bigint: () => (BigInt(high & 255) << 56n) | (BigInt(middle) << 28n) | BigInt(low),
  }
}
