import { Buffer } from 'node:buffer'
import { fmix32 } from '../math/index.ts'
import { Cells, PAGE_BITS, PAGE_SLOTS } from './cells.ts'

/** A bucket is a hash and a slot (-1: empty). */
const BUCKET = 2
const HASH = 0
const SLOT = 1
const EMPTY = -1
const FIRST_BUCKETS = 32
/** The head of a slot's row: the length of its key, and the key, or its place in the arena if it is longer. */
const HEAD_WORDS = 6
/** The same, in numbers of eight bytes. */
export const HEAD_NUMBERS = HEAD_WORDS / 2
const INLINE_BYTES = (HEAD_WORDS - 1) * 4
/** Longer keys lie in chunks: growth copies nothing, and asks for one chunk at a time. */
const CHUNK_BITS = 17
const CHUNK_BYTES = 1 << CHUNK_BITS
const FIRST_CHUNK_BYTES = 512
/** Places are 32-bit integers. */
const MOST_CHUNKS = 2 ** (31 - CHUNK_BITS)
/** Tables beyond this many keys are beyond the first cache of a processor. */
const CACHED_KEYS = 2048

/**
 * Interns byte strings as dense slots 0..size-1 without an object per key: open addressing over typed arrays. Short
 * keys lie before the cells of their slot. Slots are handed out in order of first appearance.
 *
 * With many keys the cost is cache misses, not instructions: one for the bucket, one for the row of key and cells.
 * `slots` therefore looks up a whole run in passes (hash, find, compare), each a short loop whose misses overlap.
 */
export class KeyTable {
  #buckets = new Int32Array(FIRST_BUCKETS * BUCKET).fill(EMPTY)
  #mask = FIRST_BUCKETS - 1
  readonly #rows: Cells
  readonly #rowWords: number
  readonly #arena: Buffer[] = []
  /** Bytes used of the last chunk. */
  #used = 0
  #bytes = FIRST_BUCKETS * BUCKET * 4
  #size = 0

  /** `rows` have room for HEAD_NUMBERS before their cells; the table makes a row for each of its slots. */
  constructor(rows = new Cells([], HEAD_NUMBERS)) {
    this.#rows = rows
    this.#rowWords = rows.rowWords
  }

  /** Number of keys. */
  get size(): number {
    return this.#size
  }

  /** Bytes held beside the rows: what the memory bound counts. */
  get bytes(): number {
    return this.#bytes
  }

  /** The slot of the key `buffer[start..end)`, made if it is new. */
  slot(buffer: Uint8Array, start: number, end: number): number {
    return this.#slot(viewOf(buffer), start, end)
  }

  /** The slot of a key of another table, made if it is new. */
  slotOf(other: KeyTable, slot: number): number {
    const words = other.#page(slot)
    const at = other.#head(slot)
    const length = words[at] as number
    if (length <= INLINE_BYTES) return this.#slot(viewOfWords(words), (at + 1) * 4, (at + 1) * 4 + length)
    const place = words[at + 1] as number
    const start = place & (CHUNK_BYTES - 1)
    return this.#slot(viewOf(other.#arena[place >>> CHUNK_BITS] as Buffer), start, start + length)
  }

  #slot(view: DataView, start: number, end: number): number {
    const hash = hashOf(view, start, end)
    const buckets = this.#buckets
    for (let bucket = hash & this.#mask; ; bucket = (bucket + 1) & this.#mask) {
      const at = bucket * BUCKET
      const slot = buckets[at + SLOT] as number
      if (slot === EMPTY) return this.#insert(at, hash, view, start, end)
      if (buckets[at + HASH] === hash && this.#equals(slot, view, start, end)) return slot
    }
  }

  /**
   * The slots of the keys `buffer[starts[i]..ends[i])` for i < count, into `out`, which must have room for `count`: the
   * same as `slot` one by one.
   */
  slots(buffer: Uint8Array, starts: Int32Array, ends: Int32Array, count: number, out: Int32Array): void {
    const view = viewOf(buffer)
    const large = this.#size > CACHED_KEYS
    for (let i = 0; i < count; i++) out[i] = hashOf(view, starts[i] as number, ends[i] as number)
    if (large) touchBuckets(this.#buckets, this.#mask, out, count)
    for (let i = 0; i < count; i++) this.#findByHash(i, view, starts[i] as number, ends[i] as number, out)
    if (large) touchRows(this.#rows.words, this.#rowWords, out, count)
    for (let i = 0; i < count; i++) {
      const start = starts[i] as number
      const end = ends[i] as number
      // Another key has the same 32 bits: rare, and answered the slow way.
      if (!this.#equals(out[i] as number, view, start, end)) out[i] = this.#slot(view, start, end)
    }
  }

  /** Puts the first slot with the hash `out[i]` into `out[i]`; a new one if there is none. */
  #findByHash(i: number, view: DataView, start: number, end: number, out: Int32Array): void {
    const buckets = this.#buckets
    const mask = this.#mask
    const hash = out[i] as number
    let at = (hash & mask) * BUCKET
    let slot = buckets[at + SLOT] as number
    while (slot !== EMPTY && buckets[at + HASH] !== hash) {
      at = (at + BUCKET) & (mask * BUCKET)
      slot = buckets[at + SLOT] as number
    }
    out[i] = slot === EMPTY ? this.#insert(at, hash, view, start, end) : slot
  }

  /** The key of a slot as text. */
  text(slot: number): string {
    const key = this.view(slot)
    return key.toString('utf8', 0, key.length)
  }

  /** The key of a slot: a view of where it lies, valid until the next key is added. */
  view(slot: number): Buffer {
    const words = this.#page(slot)
    const at = this.#head(slot)
    const length = words[at] as number
    if (length <= INLINE_BYTES) return Buffer.from(words.buffer, (at + 1) * 4, length)
    const place = words[at + 1] as number
    const start = place & (CHUNK_BYTES - 1)
    return (this.#arena[place >>> CHUNK_BITS] as Buffer).subarray(start, start + length)
  }

  #page(slot: number): Int32Array {
    return this.#rows.words[slot >>> PAGE_BITS] as Int32Array
  }

  #head(slot: number): number {
    return (slot & (PAGE_SLOTS - 1)) * this.#rowWords
  }

  #equals(slot: number, view: DataView, start: number, end: number): boolean {
    const words = this.#page(slot)
    let at = this.#head(slot)
    if (words[at] !== end - start) return false
    if (end - start > INLINE_BYTES) return this.#equalsLong(words[at + 1] as number, view, start, end)
    let from = start
    for (; from + 4 <= end; from += 4) if (words[++at] !== view.getInt32(from, true)) return false
    return from === end || words[++at] === lastWord(view, from, end)
  }

  #equalsLong(place: number, view: DataView, start: number, end: number): boolean {
    const chunk = this.#arena[place >>> CHUNK_BITS] as Buffer
    let from = place & (CHUNK_BYTES - 1)
    for (let i = start; i < end; i++) if (chunk[from++] !== view.getUint8(i)) return false
    return true
  }

  #insert(at: number, hash: number, view: DataView, start: number, end: number): number {
    const slot = this.#size
    this.#rows.reach(slot)
    const words = this.#page(slot)
    let head = this.#head(slot)
    words[head] = end - start
    if (end - start > INLINE_BYTES) words[head + 1] = this.#store(view, start, end)
    else {
      let from = start
      for (; from + 4 <= end; from += 4) words[++head] = view.getInt32(from, true)
      if (from < end) words[++head] = lastWord(view, from, end)
    }
    this.#buckets[at + HASH] = hash
    this.#buckets[at + SLOT] = slot
    this.#size = slot + 1
    // At most 3/4 full: a search stays within a cache line or two.
    if (this.#size * 4 > (this.#mask + 1) * 3) this.#rehash()
    return slot
  }

  /** Copies a key into the arena: its place. Keys do not straddle chunks; a larger one has a chunk of its own. */
  #store(view: DataView, start: number, end: number): number {
    const arena = this.#arena
    const length = end - start
    const need = this.#used + length
    const [first] = arena
    if (first !== undefined && arena.length === 1 && need > first.length && need <= CHUNK_BYTES)
      this.#growFirst(first, need)
    else if (need > (arena.at(-1)?.length ?? 0)) this.#addChunk(length)
    const place = ((arena.length - 1) << CHUNK_BITS) | this.#used
    const chunk = arena.at(-1) as Buffer
    for (let i = start; i < end; i++) chunk[this.#used++] = view.getUint8(i)
    return place
  }

  #addChunk(length: number): void {
    const arena = this.#arena
    if (arena.length === MOST_CHUNKS) throw new RangeError('more than 2 GiB of keys in one window')
    const least = arena.length === 0 ? FIRST_CHUNK_BYTES : CHUNK_BYTES
    const chunk = Buffer.allocUnsafeSlow(Math.max(least, length))
    arena.push(chunk)
    this.#bytes += chunk.length
    this.#used = 0
  }

  /** Most windows hold few keys: the first chunk begins small and doubles. */
  #growFirst(chunk: Buffer, need: number): void {
    const grown = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(chunk.length * 2, need)))
    chunk.copy(grown, 0, 0, this.#used)
    this.#arena[0] = grown
    this.#bytes += grown.length - chunk.length
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
      buckets[at + HASH] = old[from + HASH] as number
      buckets[at + SLOT] = old[from + SLOT] as number
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

/** As `touchBuckets`, for the rows of slots. */
function touchRows(pages: readonly Int32Array[], rowWords: number, slots: Int32Array, count: number): void {
  let sum = 0
  for (let i = 0; i < count; i++) {
    const slot = slots[i] as number
    sum ^= (pages[slot >>> PAGE_BITS] as Int32Array)[(slot & (PAGE_SLOTS - 1)) * rowWords] as number
  }
  touched ^= sum
}

let viewed: Uint8Array | undefined
let lastView: DataView = new DataView(new ArrayBuffer(0))

/** The records of a batch share one buffer: its view is made once. */
function viewOf(buffer: Uint8Array): DataView {
  if (buffer !== viewed) {
    viewed = buffer
    lastView = new DataView(buffer.buffer, buffer.byteOffset, buffer.byteLength)
  }
  return lastView
}

let viewedWords: Int32Array | undefined
let lastWordsView: DataView = new DataView(new ArrayBuffer(0))

/** As `viewOf`: the keys of a page come one after another. */
function viewOfWords(words: Int32Array): DataView {
  if (words !== viewedWords) {
    viewedWords = words
    lastWordsView = new DataView(words.buffer)
  }
  return lastWordsView
}

/** One to three bytes as a word, zeros behind them. */
function lastWord(view: DataView, start: number, end: number): number {
  let word = 0
  for (let i = end - 1; i >= start; i--) word = (word << 8) | view.getUint8(i)
  return word
}

/** Four bytes a step, finished as in murmur3, so that the low bits are usable as a bucket. Signed, as buckets keep it. */
function hashOf(view: DataView, start: number, end: number): number {
  let h = end - start
  let at = start
  for (; at + 4 <= end; at += 4) {
    h = Math.imul(h ^ view.getInt32(at, true), 0x9e3779b1)
    h ^= h >>> 15
  }
  for (; at < end; at++) h = Math.imul(h ^ view.getUint8(at), 0x01000193)
  return fmix32(h) | 0
}

/** The hash of a key, as buckets keep it. */
export const hashKey = (buffer: Uint8Array, start: number, end: number): number =>
  hashOf(viewOf(buffer), start, end)
