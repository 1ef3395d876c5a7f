import type { ByteReader, ByteWriter } from './bytes.ts'

/** Registers of a full counter: relative standard error 1.04 / sqrt(1024) = 3.3 %. */
const REGISTERS = 1024
const INDEX_BITS = 10
/** Longest run of zeros in the 22 bits left, plus one. */
const MAX_RANK = 32 - INDEX_BITS + 1
/** Up to this many distinct hashes are kept as they are: small sets are counted exactly. */
const EXACT = 32
const DENSE = 0xffff

/**
 * Many distinct-counts, one per slot: exact up to 32 distinct hashes, then HyperLogLog with 2^10 registers
 * (estimator without bias tables: Ertl, "New cardinality estimation algorithms for HyperLogLog sketches", 2017).
 * What a slot holds depends on the *set* of hashes alone, so merges are exact in any order.
 * Memory: 6 bytes a slot, 128 more once used, 1,024 once above 32 distinct.
 */
export class DistinctColumn {
  #size: Uint16Array
  #block: Int32Array
  #exact = new Uint32Array(EXACT * 16)
  #exactUsed = 0
  #exactFree: number[] = []
  #dense = new Uint8Array(REGISTERS)
  #denseUsed = 0
  #denseFree: number[] = []
  readonly #histogram = new Float64Array(MAX_RANK + 1)

  /** `slots`: first capacity; grows by doubling when a larger slot is used. */
  constructor(slots = 16) {
    this.#size = new Uint16Array(Math.max(1, slots))
    this.#block = new Int32Array(Math.max(1, slots))
  }

  /** Bytes held by this column. */
  get memoryBytes(): number {
    return this.#size.byteLength + this.#block.byteLength + this.#exact.byteLength + this.#dense.byteLength
  }

  /** Adds one thing by its 32-bit hash (well mixed: murmur3 or fmix32, not a raw integer). */
  add(slot: number, hash32: number): void {
    this.#reach(slot)
    const hash = hash32 >>> 0
    const size = this.#size[slot] as number
    if (size === DENSE) this.#raise(this.#block[slot] as number, hash)
    else this.#addExact(slot, size, hash)
  }

  /** Estimated number of distinct hashes of a slot (a whole number up to 32, exact there). */
  estimate(slot: number): number {
    const size = this.#size[slot] ?? 0
    return size === DENSE ? this.#estimateDense((this.#block[slot] as number) * REGISTERS) : size
  }

  /** Adds all that another column's slot has seen. */
  merge(slot: number, other: DistinctColumn, otherSlot: number): void {
    const size = other.#size[otherSlot] ?? 0
    const from = other.#block[otherSlot] ?? 0
    if (size !== DENSE) {
      for (let i = 0; i < size; i++) this.add(slot, other.#exact[from * EXACT + i] as number)
      return
    }
    this.#reach(slot)
    this.#toDense(slot)
    const to = this.#block[slot] as number
    for (let i = 0; i < REGISTERS; i++)
      this.#raiseRegister(to, i, other.#dense[from * REGISTERS + i] as number)
  }

  /** Empties a slot; its block goes back to the pool. */
  clear(slot: number): void {
    const size = this.#size[slot] ?? 0
    if (size === 0) return
    const block = this.#block[slot] as number
    if (size === DENSE) this.#denseFree.push(block)
    else this.#exactFree.push(block)
    this.#size[slot] = 0
  }

  /** Empties all slots and keeps the memory. */
  reset(): void {
    this.#size.fill(0)
    this.#exactUsed = 0
    this.#exactFree = []
    this.#denseUsed = 0
    this.#denseFree = []
  }

  /** Writes a slot: its size, then the sorted hashes, or 1,024 registers. Equal contents, equal bytes. */
  encode(slot: number, writer: ByteWriter): void {
    const size = this.#size[slot] ?? 0
    writer.varint(size)
    const block = this.#block[slot] ?? 0
    if (size === DENSE) {
      writer.bytes(this.#dense.subarray(block * REGISTERS, (block + 1) * REGISTERS))
      return
    }
    const sorted = this.#exact.slice(block * EXACT, block * EXACT + size).sort()
    for (const hash of sorted) writer.u32(hash)
  }

  /** Adds what `encode` wrote to a slot (a merge if the slot is in use). Throws RangeError on bytes that no `encode` wrote. */
  decode(slot: number, reader: ByteReader): void {
    const size = reader.varint()
    this.#reach(slot)
    if (size !== DENSE) {
      if (size > EXACT) throw new RangeError(`distinct count with ${size} hashes`)
      for (let i = 0; i < size; i++) this.add(slot, reader.u32())
      return
    }
    const registers = reader.bytes(REGISTERS)
    this.#toDense(slot)
    const block = this.#block[slot] as number
    for (let i = 0; i < REGISTERS; i++) {
      this.#raiseRegister(block, i, Math.min(MAX_RANK, registers[i] as number))
    }
  }

  #addExact(slot: number, size: number, hash: number): void {
    if (size === 0) this.#block[slot] = this.#exactFree.pop() ?? this.#newExact()
    const start = (this.#block[slot] as number) * EXACT
    for (let i = 0; i < size; i++) if (this.#exact[start + i] === hash) return
    if (size < EXACT) {
      this.#exact[start + size] = hash
      this.#size[slot] = size + 1
      return
    }
    this.#toDense(slot)
    this.#raise(this.#block[slot] as number, hash)
  }

  #toDense(slot: number): void {
    const size = this.#size[slot] as number
    if (size === DENSE) return
    const from = this.#block[slot] as number
    const to = this.#denseFree.pop() ?? this.#newDense()
    this.#dense.fill(0, to * REGISTERS, (to + 1) * REGISTERS)
    for (let i = 0; i < size; i++) this.#raise(to, this.#exact[from * EXACT + i] as number)
    if (size > 0) this.#exactFree.push(from)
    this.#size[slot] = DENSE
    this.#block[slot] = to
  }

  #raise(block: number, hash: number): void {
    const rank = Math.clz32((hash << INDEX_BITS) | (1 << (INDEX_BITS - 1))) + 1
    this.#raiseRegister(block, hash >>> (32 - INDEX_BITS), rank)
  }

  #raiseRegister(block: number, register: number, rank: number): void {
    const at = block * REGISTERS + register
    if ((this.#dense[at] as number) < rank) this.#dense[at] = rank
  }

  #estimateDense(start: number): number {
    const histogram = this.#histogram.fill(0)
    for (let i = 0; i < REGISTERS; i++) {
      const rank = this.#dense[start + i] as number
      histogram[rank] = (histogram[rank] as number) + 1
    }
    let z = REGISTERS * tau(1 - (histogram[MAX_RANK] as number) / REGISTERS)
    for (let rank = MAX_RANK - 1; rank >= 1; rank--) z = 0.5 * (z + (histogram[rank] as number))
    z += REGISTERS * sigma((histogram[0] as number) / REGISTERS)
    return (REGISTERS * REGISTERS) / (2 * Math.LN2 * z)
  }

  #newExact(): number {
    if ((this.#exactUsed + 1) * EXACT > this.#exact.length) {
      const grown = new Uint32Array(this.#exact.length * 2)
      grown.set(this.#exact)
      this.#exact = grown
    }
    return this.#exactUsed++
  }

  #newDense(): number {
    if ((this.#denseUsed + 1) * REGISTERS > this.#dense.length) {
      const grown = new Uint8Array(this.#dense.length * 2)
      grown.set(this.#dense)
      this.#dense = grown
    }
    return this.#denseUsed++
  }

  #reach(slot: number): void {
    if (slot < this.#size.length) return
    const slots = Math.max(slot + 1, this.#size.length * 2)
    const size = new Uint16Array(slots)
    size.set(this.#size)
    this.#size = size
    const block = new Int32Array(slots)
    block.set(this.#block)
    this.#block = block
  }
}

/** Ertl 2017, algorithm 5: contribution of empty registers. */
function sigma(x: number): number {
  if (x === 1) return Infinity
  let power = x
  let y = 1
  let z = x
  for (let before = -1; z !== before; y *= 2) {
    power *= power
    before = z
    z += power * y
  }
  return z
}

/** Ertl 2017, algorithm 6: contribution of saturated registers. */
function tau(x: number): number {
  if (x === 0 || x === 1) return 0
  let root = x
  let y = 1
  let z = 1 - x
  for (let before = -1; z !== before; ) {
    root = Math.sqrt(root)
    before = z
    y *= 0.5
    z -= (1 - root) ** 2 * y
  }
  return z / 3
}
