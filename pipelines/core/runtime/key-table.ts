import { Buffer } from 'node:buffer'
import { fmix32 } from '../math/index.ts'

/** A bucket is a hash, a slot (-1: empty), and place and length of its key: a quarter of a cache line. */
const BUCKET = 4
const HASH = 0
const SLOT = 1
const PLACE = 2
const LENGTH = 3
const EMPTY = -1
const FIRST_BUCKETS = 32
/** Key bytes, and the places of slots, lie in chunks: growth copies nothing, and asks for one chunk at a time. */
const CHUNK_BITS = 17
const CHUNK_BYTES = 1 << CHUNK_BITS
const FIRST_CHUNK_BYTES = 512
const PAGE_BITS = 13
const PAGE_SLOTS = 1 << PAGE_BITS
const FIRST_SLOTS = 16
/** Places are 32-bit integers. */
const MOST_CHUNKS = 2 ** (31 - CHUNK_BITS)
/** Tables beyond this many keys are beyond the first cache of a processor. */
const CACHED_KEYS = 2048

/**
 * Interns byte strings as dense slots 0..size-1 without an object per key: open addressing over typed arrays, the
 * key bytes in an arena. Slots are handed out in order of first appearance.
 *
 * With many keys the cost is cache misses, not instructions. `slots` therefore looks up a whole run in passes (hash,
 * find, compare), each a short loop whose misses overlap.
 */
export class KeyTable {
  #buckets = new Int32Array(FIRST_BUCKETS * BUCKET).fill(EMPTY)
  #mask = FIRST_BUCKETS - 1
  /** Place and length of the key of each slot, by pages of slots. */
  readonly #pages: Int32Array[] = [new Int32Array(FIRST_SLOTS * 2)]
  #room = FIRST_SLOTS
  readonly #arena: Buffer[] = [Buffer.allocUnsafeSlow(FIRST_CHUNK_BYTES)]
  /** Bytes used of the last chunk. */
  #used = 0
  #bytes = (FIRST_BUCKETS * BUCKET + FIRST_SLOTS * 2) * 4 + FIRST_CHUNK_BYTES
  #size = 0

  /** Number of keys. */
  get size(): number {
    return this.#size
  }

  /** Bytes held: what the memory bound counts. */
  get bytes(): number {
    return this.#bytes
  }

  /** The slot of the key `buffer[start..end)`, made if it is new. */
  slot(buffer: Uint8Array, start: number, end: number): number {
    const hash = hashKey(buffer, start, end)
    const length = end - start
    for (let bucket = hash & this.#mask; ; bucket = (bucket + 1) & this.#mask) {
      const buckets = this.#buckets
      const at = bucket * BUCKET
      const slot = buckets[at + SLOT] as number
      if (slot === EMPTY) return this.#insert(at, hash, buffer, start, end)
      if (buckets[at + HASH] !== hash || buckets[at + LENGTH] !== length) continue
      if (this.#equals(buckets[at + PLACE] as number, buffer, start, end)) return slot
    }
  }

  /**
   * The slots of the keys `buffer[starts[i]..ends[i])` for i < count, into `out`: the same as `slot` one by one.
   * `places` is overwritten; both must have room for `count`.
   */
  slots(
    buffer: Uint8Array,
    starts: Int32Array,
    ends: Int32Array,
    count: number,
    out: Int32Array,
    places: Int32Array,
  ): void {
    const large = this.#size > CACHED_KEYS
    for (let i = 0; i < count; i++) out[i] = hashKey(buffer, starts[i] as number, ends[i] as number)
    if (large) touchBuckets(this.#buckets, this.#mask, out, count)
    for (let i = 0; i < count; i++)
      this.#findByHash(i, buffer, starts[i] as number, ends[i] as number, out, places)
    if (large) touchKeys(this.#arena, places, count)
    for (let i = 0; i < count; i++) {
      const start = starts[i] as number
      const end = ends[i] as number
      // Another key has the same 32 bits: rare, and answered the slow way.
      if (!this.#equals(places[i] as number, buffer, start, end)) out[i] = this.slot(buffer, start, end)
    }
  }

  /** Puts the first slot with the hash `out[i]` and the key's length into `out[i]`; a new one if there is none. */
  #findByHash(
    i: number,
    buffer: Uint8Array,
    start: number,
    end: number,
    out: Int32Array,
    places: Int32Array,
  ): void {
    const buckets = this.#buckets
    const mask = this.#mask
    const hash = out[i] as number
    const length = end - start
    let at = (hash & mask) * BUCKET
    let slot = buckets[at + SLOT] as number
    while (slot !== EMPTY && (buckets[at + HASH] !== hash || buckets[at + LENGTH] !== length)) {
      at = (at + BUCKET) & (mask * BUCKET)
      slot = buckets[at + SLOT] as number
    }
    out[i] = slot === EMPTY ? this.#insert(at, hash, buffer, start, end) : slot
    places[i] = slot === EMPTY ? this.#placeOf(out[i]) : (buckets[at + PLACE] as number)
  }

  /** The key of a slot as text. */
  text(slot: number): string {
    const place = this.#placeOf(slot)
    const start = place & (CHUNK_BYTES - 1)
    return (this.#arena[place >>> CHUNK_BITS] as Buffer).toString('utf8', start, start + this.#lengthOf(slot))
  }

  /** The key of a slot: a view into the arena. */
  view(slot: number): Buffer {
    const place = this.#placeOf(slot)
    const start = place & (CHUNK_BYTES - 1)
    return (this.#arena[place >>> CHUNK_BITS] as Buffer).subarray(start, start + this.#lengthOf(slot))
  }

  #placeOf(slot: number): number {
    return (this.#pages[slot >>> PAGE_BITS] as Int32Array)[(slot & (PAGE_SLOTS - 1)) * 2] as number
  }

  #lengthOf(slot: number): number {
    return (this.#pages[slot >>> PAGE_BITS] as Int32Array)[(slot & (PAGE_SLOTS - 1)) * 2 + 1] as number
  }

  #equals(place: number, buffer: Uint8Array, start: number, end: number): boolean {
    const chunk = this.#arena[place >>> CHUNK_BITS] as Buffer
    let from = place & (CHUNK_BYTES - 1)
    for (let i = start; i < end; i++) if (chunk[from++] !== buffer[i]) return false
    return true
  }

  #insert(at: number, hash: number, buffer: Uint8Array, start: number, end: number): number {
    const slot = this.#size
    const length = end - start
    const place = this.#reserve(length)
    const chunk = this.#arena[place >>> CHUNK_BITS] as Buffer
    let to = place & (CHUNK_BYTES - 1)
    for (let i = start; i < end; i++) chunk[to++] = buffer[i] as number
    if (slot === this.#room) this.#addPage()
    const page = this.#pages[slot >>> PAGE_BITS] as Int32Array
    page[(slot & (PAGE_SLOTS - 1)) * 2] = place
    page[(slot & (PAGE_SLOTS - 1)) * 2 + 1] = length
    const buckets = this.#buckets
    buckets[at + HASH] = hash
    buckets[at + SLOT] = slot
    buckets[at + PLACE] = place
    buckets[at + LENGTH] = length
    this.#size = slot + 1
    // At most 3/4 full: a search stays within a cache line or two.
    if (this.#size * 4 > (this.#mask + 1) * 3) this.#rehash()
    return slot
  }

  /** Room for a key in the arena: its place. Keys do not straddle chunks; a larger one has a chunk of its own. */
  #reserve(length: number): number {
    const arena = this.#arena
    const [first] = arena as [Buffer]
    const need = this.#used + length
    if (arena.length === 1 && need > first.length && need <= CHUNK_BYTES) this.#growFirst(need)
    else if (need > (arena.at(-1) as Buffer).length) {
      if (arena.length === MOST_CHUNKS) throw new RangeError('more than 2 GiB of keys in one window')
      const chunk = Buffer.allocUnsafeSlow(Math.max(CHUNK_BYTES, length))
      arena.push(chunk)
      this.#bytes += chunk.length
      this.#used = 0
    }
    const place = ((arena.length - 1) << CHUNK_BITS) | this.#used
    this.#used += length
    return place
  }

  /** Most windows hold few keys: the first chunk begins small and doubles. */
  #growFirst(need: number): void {
    const [chunk] = this.#arena as [Buffer]
    const grown = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(chunk.length * 2, need)))
    chunk.copy(grown, 0, 0, this.#used)
    this.#arena[0] = grown
    this.#bytes += grown.length - chunk.length
  }

  /** The first page doubles up to its full size, as the first chunk does. */
  #addPage(): void {
    const slots = Math.min(this.#room, PAGE_SLOTS)
    this.#bytes += slots * 8
    this.#room += slots
    if (this.#room > PAGE_SLOTS) {
      this.#pages.push(new Int32Array(slots * 2))
      return
    }
    const grown = new Int32Array(slots * 4)
    grown.set(this.#pages[0] as Int32Array)
    this.#pages[0] = grown
  }

  /** Twice the buckets. The old ones are walked in order, which fills two stretches of the new ones side by side. */
  #rehash(): void {
    const old = this.#buckets
    const buckets = new Int32Array(old.length * 2).fill(EMPTY)
    const mask = buckets.length - BUCKET
    for (let from = 0; from < old.length; from += BUCKET) {
      if (old[from + SLOT] === EMPTY) continue
      let at = ((old[from + HASH] as number) * BUCKET) & mask
      while (buckets[at + SLOT] !== EMPTY) at = (at + BUCKET) & mask
      for (let k = 0; k < BUCKET; k++) buckets[at + k] = old[from + k] as number
    }
    this.#buckets = buckets
    this.#mask = buckets.length / BUCKET - 1
    this.#bytes += old.byteLength
  }
}

let touched = 0

/**
 * Brings the buckets of hashes into the cache. Without a branch that depends on what is read, many misses are under
 * way at once; a search waits for each.
 */
function touchBuckets(buckets: Int32Array, mask: number, hashes: Int32Array, count: number): void {
  let sum = 0
  for (let i = 0; i < count; i++) sum ^= buckets[((hashes[i] as number) & mask) * BUCKET] as number
  touched ^= sum // used, so that the loop is not optimised away
}

/** As `touchBuckets`, for the bytes of keys. */
function touchKeys(arena: readonly Buffer[], places: Int32Array, count: number): void {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const place = places[i] as number
    sum ^= (arena[place >>> CHUNK_BITS] as Buffer)[place & (CHUNK_BYTES - 1)] as number
  }
  touched ^= sum
}

/** Four bytes a step, finished as in murmur3, so that the low bits are usable as a bucket. Signed, as buckets keep it. */
export function hashKey(buffer: Uint8Array, start: number, end: number): number {
  let h = end - start
  let at = start
  for (; at + 4 <= end; at += 4) {
    const block =
      (buffer[at] as number) |
      ((buffer[at + 1] as number) << 8) |
      ((buffer[at + 2] as number) << 16) |
      ((buffer[at + 3] as number) << 24)
    h = Math.imul(h ^ block, 0x9e3779b1)
    h ^= h >>> 15
  }
  for (; at < end; at++) h = Math.imul(h ^ (buffer[at] as number), 0x01000193)
  return fmix32(h) | 0
}
