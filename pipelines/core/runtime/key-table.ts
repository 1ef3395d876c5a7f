import { Buffer } from 'node:buffer'
import { fmix32, fnv1a } from '../math/index.ts'

const EMPTY = -1

/**
 * Interns byte strings as dense slots 0..size-1 without an object per key: open addressing over typed
 * arrays, the key bytes in one arena. Slots are handed out in order of first appearance.
 */
export class KeyTable {
  #slotOf: Int32Array
  #mask: number
  #hashes: Int32Array
  #starts: Int32Array
  #arena: Buffer
  #arenaLength = 0
  size = 0

  constructor(initialKeys = 64) {
    let buckets = 16
    while (buckets < initialKeys * 2) buckets *= 2
    this.#slotOf = new Int32Array(buckets).fill(EMPTY)
    this.#mask = buckets - 1
    this.#hashes = new Int32Array(buckets / 2)
    this.#starts = new Int32Array(buckets / 2 + 1)
    this.#arena = Buffer.allocUnsafe(buckets * 8)
  }

  /** Bytes held: what the memory bound counts. */
  get bytes(): number {
    return this.#slotOf.byteLength + this.#hashes.byteLength + this.#starts.byteLength + this.#arena.length
  }

  /** The slot of the key `buffer[start..end)`, made if it is new. */
  slot(buffer: Uint8Array, start: number, end: number): number {
    const hash = hashRange(buffer, start, end)
    let bucket = hash & this.#mask
    for (;;) {
      const slot = this.#slotOf[bucket] as number
      if (slot === EMPTY) return this.#insert(bucket, hash, buffer, start, end)
      if (this.#hashes[slot] === hash && this.#equals(slot, buffer, start, end)) return slot
      bucket = (bucket + 1) & this.#mask
    }
  }

  /** The key of a slot as text. */
  text(slot: number): string {
    return this.#arena.toString('utf8', this.#starts[slot], this.#starts[slot + 1])
  }

  /** The key of a slot: a view into the arena, valid until the next insertion. */
  view(slot: number): Buffer {
    return this.#arena.subarray(this.#starts[slot], this.#starts[slot + 1])
  }

  #equals(slot: number, buffer: Uint8Array, start: number, end: number): boolean {
    let at = this.#starts[slot] as number
    if ((this.#starts[slot + 1] as number) - at !== end - start) return false
    const arena = this.#arena
    for (let i = start; i < end; i++) if (arena[at++] !== buffer[i]) return false
    return true
  }

  #insert(bucket: number, hash: number, buffer: Uint8Array, start: number, end: number): number {
    const slot = this.size
    if (slot === this.#hashes.length) {
      this.#grow()
      return this.slot(buffer, start, end)
    }
    const length = end - start
    if (this.#arenaLength + length > this.#arena.length) this.#growArena(length)
    this.#arena.set(buffer.subarray(start, end), this.#arenaLength)
    this.#arenaLength += length
    this.#starts[slot + 1] = this.#arenaLength
    this.#hashes[slot] = hash
    this.#slotOf[bucket] = slot
    this.size = slot + 1
    return slot
  }

  #growArena(length: number): void {
    const grown = Buffer.allocUnsafe(Math.max(this.#arena.length * 2, this.#arenaLength + length))
    this.#arena.copy(grown, 0, 0, this.#arenaLength)
    this.#arena = grown
  }

  #grow(): void {
    const buckets = (this.#mask + 1) * 2
    this.#mask = buckets - 1
    this.#slotOf = new Int32Array(buckets).fill(EMPTY)
    const hashes = new Int32Array(buckets / 2)
    hashes.set(this.#hashes)
    this.#hashes = hashes
    const starts = new Int32Array(buckets / 2 + 1)
    starts.set(this.#starts)
    this.#starts = starts
    for (let slot = 0; slot < this.size; slot++) {
      let bucket = (hashes[slot] as number) & this.#mask
      while (this.#slotOf[bucket] !== EMPTY) bucket = (bucket + 1) & this.#mask
      this.#slotOf[bucket] = slot
    }
  }
}

/** Finished as in murmur3, so that the low bits are usable as a bucket; signed, as the column of hashes keeps it. */
const hashRange = (buffer: Uint8Array, start: number, end: number): number =>
  fmix32(fnv1a(buffer, start, end - start)) | 0
