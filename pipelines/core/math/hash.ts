/** Finaliser of murmur3: mixes every bit of a 32-bit integer into every other (Appleby, public domain). */
export function fmix32(value: number): number {
  let h = value ^ (value >>> 16)
  h = Math.imul(h, 0x85ebca6b)
  h ^= h >>> 13
  h = Math.imul(h, 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}

/** Folds a further 32-bit hash into one; depends on the order. */
export function combine32(hash: number, next: number): number {
  let h = hash ^ scramble(next)
  h = (h << 13) | (h >>> 19)
  return (Math.imul(h, 5) + 0xe6546b64) >>> 0
}

/**
 * MurmurHash3 x86 32 bit over `bytes[start, start + length)`. murmur3('') seed 1 = 0x514e28b7.
 * Same value as every other implementation of it, whatever the platform.
 */
export function murmur3(bytes: Uint8Array, start: number, length: number, seed = 0): number {
  const blocksEnd = start + (length & ~3)
  let h = seed | 0
  let at = start
  for (; at < blocksEnd; at += 4) {
    const block =
      (bytes[at] as number) |
      ((bytes[at + 1] as number) << 8) |
      ((bytes[at + 2] as number) << 16) |
      ((bytes[at + 3] as number) << 24)
    h ^= scramble(block)
    h = (h << 13) | (h >>> 19)
    h = (Math.imul(h, 5) + 0xe6546b64) | 0
  }
  let tail = 0
  for (let i = (length & 3) - 1; i >= 0; i--) tail = (tail << 8) | (bytes[at + i] as number)
  if ((length & 3) !== 0) h ^= scramble(tail)
  return fmix32(h ^ length)
}

/** FNV-1a, 32 bit, over `bytes[start, start + length)`: what Sarama-compatible partitioners use. fnv1a('') = 0x811c9dc5. */
export function fnv1a(bytes: Uint8Array, start: number, length: number): number {
  let h = 0x811c9dc5
  for (let at = start; at < start + length; at++) h = Math.imul(h ^ (bytes[at] as number), 0x01000193)
  return h >>> 0
}

const encoder = new TextEncoder()

/** murmur3 of the UTF-8 bytes of a text. Not for the hot path: it allocates. */
export function murmur3Text(text: string, seed = 0): number {
  const bytes = encoder.encode(text)
  return murmur3(bytes, 0, bytes.length, seed)
}

function scramble(block: number): number {
  const k = Math.imul(block, 0xcc9e2d51)
  return Math.imul((k << 15) | (k >>> 17), 0x1b873593)
}
