import type { ByteReader, ByteWriter } from './bytes.ts'

/** Relative error of a quantile: the value answered lies within 1 % of the value at that rank. */
const RELATIVE_ACCURACY = 0.01
/** Magnitudes below this count as zero. */
const SMALLEST = 1e-9
/** Magnitudes above this are counted as this. */
const LARGEST = 1e18

const GAMMA = (1 + RELATIVE_ACCURACY) / (1 - RELATIVE_ACCURACY)
const PER_LOG = 1 / Math.log(GAMMA)
const FIRST = Math.ceil(Math.log(SMALLEST) * PER_LOG)
const LAST_BIN = Math.ceil(Math.log(LARGEST) * PER_LOG) - FIRST + 1
/** 32 bins a page (a factor of 1.9 in value): a latency or packet size spans a handful of pages. */
const PAGE_BITS = 5
const PAGE = 1 << PAGE_BITS
const NONE = -1
const FULL = 0x100000000
/** Pages with this offset count in units of 2^32: the carry of bins that overflow 32 bits. */
const CARRY = 1 << 12
const LOWEST_KEY = -LAST_BIN >> PAGE_BITS
const KEYS = (LAST_BIN >> PAGE_BITS) - LOWEST_KEY + 1

/** Bin of a value: 0 holds zero, positive values have positive bins, negative ones mirror them. */
function binOf(value: number): number {
  const magnitude = Math.abs(value)
  if (magnitude < SMALLEST) return 0
  const bin =
    magnitude >= LARGEST ? LAST_BIN : Math.max(1, Math.ceil(Math.log(magnitude) * PER_LOG) - FIRST + 1)
  return value < 0 ? -bin : bin
}

/** The value a bin stands for: the point whose relative distance to both ends of the bin is the same. */
function valueOf(bin: number): number {
  if (bin === 0) return 0
  const magnitude = (2 * Math.exp((Math.abs(bin) - 1 + FIRST) / PER_LOG)) / (GAMMA + 1)
  return bin < 0 ? -magnitude : magnitude
}

/**
 * Many mergeable quantile sketches, one per slot (DDSketch, Masson et al., VLDB 2019, logarithmic mapping).
 * All columns share one fixed set of bins, so a merge is an addition of counts: exact, and the same in any
 * order. A slot's bins lie in pages taken from a common pool, so an idle slot costs 12 bytes and a busy
 * one about 140 bytes per factor of 1.9 between its smallest and largest value; at most 196 pages a slot.
 */
export class SketchColumn {
  #head: Int32Array
  #count: Float64Array
  #bins = new Uint32Array(PAGE * 16)
  #key = new Int16Array(16)
  #next = new Int32Array(16)
  #used = 0
  #free = NONE
  readonly #dense = new Float64Array(KEYS * PAGE)
  readonly #present = new Int16Array(KEYS)

  /** `slots`: first capacity; grows by doubling when a larger slot is used. */
  constructor(slots = 16) {
    this.#head = new Int32Array(Math.max(1, slots)).fill(NONE)
    this.#count = new Float64Array(Math.max(1, slots))
  }

  /** Bytes held by this column. */
  get memoryBytes(): number {
    const perSlot = this.#head.byteLength + this.#count.byteLength
    return (
      perSlot + this.#bins.byteLength + this.#key.byteLength + this.#next.byteLength + this.#dense.byteLength
    )
  }

  /** Adds a value `weight` times (a whole number >= 1, below 2^32). Values that are not finite are ignored. */
  add(slot: number, value: number, weight = 1): void {
    if (!Number.isFinite(value) || !(weight >= 1 && weight < FULL)) return
    const whole = Math.floor(weight)
    this.#reach(slot)
    const bin = binOf(value)
    this.#addCount(slot, bin >> PAGE_BITS, bin & (PAGE - 1), whole)
    this.#count[slot] = (this.#count[slot] as number) + whole
  }

  /** Number of values of a slot (sum of weights). */
  count(slot: number): number {
    return this.#count[slot] ?? 0
  }

  /** Adds all of another slot, of this column or another one, to a slot of this one. Exact. Throws RangeError for a slot with itself. */
  merge(slot: number, other: SketchColumn, otherSlot: number): void {
    if (this === other && slot === otherSlot) throw new RangeError('a slot cannot be merged with itself')
    this.#reach(slot)
    let page = other.#head[otherSlot] ?? NONE
    for (; page !== NONE; page = other.#next[page] as number) {
      for (let bin = 0; bin < PAGE; bin++) {
        const count = other.#bins[page * PAGE + bin] as number
        if (count > 0) this.#addCount(slot, other.#key[page] as number, bin, count)
      }
    }
    this.#count[slot] = (this.#count[slot] as number) + other.count(otherSlot)
  }

  /** Value at probability p (0..1) by rank p (n - 1), within 1 %; NaN if the slot is empty. */
  quantile(slot: number, p: number): number {
    const out = new Float64Array(1)
    this.quantiles(slot, Float64Array.of(p), out, 0)
    return out[0] as number
  }

  /** Several quantiles in one walk: `ps` ascending in 0..1, answers to `out[at...]`; NaN if the slot is empty. */
  quantiles(slot: number, ps: Float64Array, out: Float64Array, at = 0): void {
    const count = this.count(slot)
    if (count === 0) {
      out.fill(NaN, at, at + ps.length)
      return
    }
    const pages = this.#collect(slot)
    let done = 0
    let below = 0
    let last = 0
    for (let i = 0; i < pages && done < ps.length; i++) {
      const key = this.#present[i] as number
      for (let bin = 0; bin < PAGE && done < ps.length; bin++) {
        const here = this.#dense[(key - LOWEST_KEY) * PAGE + bin] as number
        if (here === 0) continue
        below += here
        last = key * PAGE + bin
        while (done < ps.length && below > (ps[done] as number) * (count - 1))
          out[at + done++] = valueOf(last)
      }
    }
    while (done < ps.length) out[at + done++] = valueOf(last)
    this.#release(pages)
  }

  /** Empties a slot; its pages go back to the pool. */
  clear(slot: number): void {
    if (slot >= this.#head.length) return
    let page = this.#head[slot] as number
    while (page !== NONE) {
      const next = this.#next[page] as number
      this.#next[page] = this.#free
      this.#free = page
      page = next
    }
    this.#head[slot] = NONE
    this.#count[slot] = 0
  }

  /** Empties all slots and keeps the memory for the next window. */
  reset(): void {
    this.#head.fill(NONE)
    this.#count.fill(0)
    this.#used = 0
    this.#free = NONE
  }

  /** Writes a slot: pages in ascending order, then only the bins that hold something. Equal contents, equal bytes. */
  encode(slot: number, writer: ByteWriter): void {
    const pages = this.#collect(slot)
    writer.varint(pages)
    for (let i = 0; i < pages; i++) {
      const key = this.#present[i] as number
      const start = (key - LOWEST_KEY) * PAGE
      let filled = 0
      for (let bin = 0; bin < PAGE; bin++) if (this.#dense[start + bin] !== 0) filled++
      writer.zigzag(key)
      writer.u8(filled)
      for (let bin = 0; bin < PAGE; bin++) {
        const count = this.#dense[start + bin] as number
        if (count === 0) continue
        writer.u8(bin)
        writer.varint(count)
      }
    }
    this.#release(pages)
  }

  /** Adds what `encode` wrote to a slot (decoding into a used slot is a merge). Throws RangeError on bytes that no `encode` wrote. */
  decode(slot: number, reader: ByteReader): void {
    this.#reach(slot)
    const pages = reader.varint()
    for (let i = 0; i < pages; i++) {
      const key = reader.zigzag()
      if (key < LOWEST_KEY || key >= LOWEST_KEY + KEYS) throw new RangeError(`sketch page ${key}`)
      const filled = reader.u8()
      for (let j = 0; j < filled; j++) {
        const bin = reader.u8()
        if (bin >= PAGE) throw new RangeError(`sketch bin ${bin}`)
        const count = reader.varint()
        this.#addCount(slot, key, bin, count)
        this.#count[slot] = (this.#count[slot] as number) + count
      }
    }
  }

  #addCount(slot: number, key: number, bin: number, count: number): void {
    const at = this.#page(slot, key) * PAGE + bin
    const sum = (this.#bins[at] as number) + count
    this.#bins[at] = sum % FULL
    if (sum >= FULL) this.#addCount(slot, key + CARRY, bin, Math.floor(sum / FULL))
  }

  /** Finds or makes the page of a slot and moves it to the front: neighbouring values come together. */
  #page(slot: number, key: number): number {
    const first = this.#head[slot] as number
    let before = NONE
    let page = first
    while (page !== NONE) {
      if (this.#key[page] === key) break
      before = page
      page = this.#next[page] as number
    }
    if (page === first && page !== NONE) return page
    if (page === NONE) page = this.#newPage(key)
    else this.#next[before] = this.#next[page] as number
    this.#next[page] = first
    this.#head[slot] = page
    return page
  }

  #newPage(key: number): number {
    let page = this.#free
    if (page !== NONE) {
      this.#free = this.#next[page] as number
    } else {
      page = this.#used++
      if (page === this.#key.length) this.#growPages()
    }
    this.#bins.fill(0, page * PAGE, page * PAGE + PAGE)
    this.#key[page] = key
    return page
  }

  #growPages(): void {
    const pages = this.#key.length * 2
    this.#bins = grown(this.#bins, new Uint32Array(pages * PAGE))
    this.#key = grown(this.#key, new Int16Array(pages))
    this.#next = grown(this.#next, new Int32Array(pages))
  }

  #reach(slot: number): void {
    const had = this.#head.length
    if (slot < had) return
    const slots = Math.max(slot + 1, had * 2)
    this.#head = grown(this.#head, new Int32Array(slots))
    this.#head.fill(NONE, had)
    this.#count = grown(this.#count, new Float64Array(slots))
  }

  /** Spreads a slot's pages (carries added in) over `#dense`; their keys, ascending, to `#present`. Returns how many. */
  #collect(slot: number): number {
    let pages = 0
    let page = this.#head[slot] ?? NONE
    for (; page !== NONE; page = this.#next[page] as number) {
      const raw = this.#key[page] as number
      const isCarry = raw >= CARRY / 2
      const key = isCarry ? raw - CARRY : raw
      for (let bin = 0; bin < PAGE; bin++) {
        const at = (key - LOWEST_KEY) * PAGE + bin
        this.#dense[at] =
          (this.#dense[at] as number) + (this.#bins[page * PAGE + bin] as number) * (isCarry ? FULL : 1)
      }
      if (!isCarry) this.#present[pages++] = key
    }
    this.#present.subarray(0, pages).sort()
    return pages
  }

  #release(pages: number): void {
    for (let i = 0; i < pages; i++) {
      const start = ((this.#present[i] as number) - LOWEST_KEY) * PAGE
      this.#dense.fill(0, start, start + PAGE)
    }
  }
}

function grown<Column extends Float64Array | Int32Array | Uint32Array | Int16Array>(
  from: Column,
  to: Column,
): Column {
  to.set(from)
  return to
}
