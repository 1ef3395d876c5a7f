import type { Buffer } from 'node:buffer'
import { crc32c, Reader } from '@platformatic/kafka'

/** CRC-32C of bytes where they lie: given a buffer the library copies it first, given one of its own it does not. */
export const checksumOf = (bytes: Buffer): number => crc32c(Reader.from(bytes).buffer)
