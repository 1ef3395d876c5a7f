import type { ByteReader, ByteWriter } from './bytes.ts'

/**
 * Count, sum, mean, variance, least and largest of many slots, one pass, mergeable
 * (Welford 1962; merge by Chan, Golub and LeVeque 1979). Count, min and max are exact in any order;
 * sum, mean and variance to rounding. 48 bytes a slot.
 */
export class MomentsColumn {
  /** n, sum, mean, sum of squared deviations, min, max per slot. */
  #cells: Float64Array

  /** `slots`: first capacity; grows by doubling when a larger slot is used. */
  constructor(slots = 16) {
    this.#cells = new Float64Array(Math.max(1, slots) * WIDTH)
  }

  /** Bytes held by this column. */
  get memoryBytes(): number {
    return this.#cells.byteLength
  }

  /** Adds a value; values that are not finite are ignored. */
  add(slot: number, value: number): void {
    if (!Number.isFinite(value)) return
    this.#fold(slot, 1, value, value, 0, value, value)
  }

  /** Adds another column's slot. */
  merge(slot: number, other: MomentsColumn, otherSlot: number): void {
    const n = other.count(otherSlot)
    if (n === 0) return
    const cells = other.#cells
    const at = otherSlot * WIDTH
    this.#fold(
      slot,
      n,
      cells[at + 1] as number,
      cells[at + 2] as number,
      cells[at + 3] as number,
      cells[at + 4] as number,
      cells[at + 5] as number,
    )
  }

  /** Number of values. */
  count(slot: number): number {
    return this.#cells[slot * WIDTH] ?? 0
  }

  /** Sum; 0 if empty. */
  sum(slot: number): number {
    return this.#cells[slot * WIDTH + 1] ?? 0
  }

  /** Mean; NaN if empty. */
  mean(slot: number): number {
    return this.count(slot) === 0 ? NaN : (this.#cells[slot * WIDTH + 2] as number)
  }

  /** Population variance (divided by n); 0 for one value, NaN if empty. */
  variance(slot: number): number {
    const n = this.count(slot)
    return n === 0 ? NaN : (this.#cells[slot * WIDTH + 3] as number) / n
  }

  /** Smallest value; NaN if empty. */
  min(slot: number): number {
    return this.count(slot) === 0 ? NaN : (this.#cells[slot * WIDTH + 4] as number)
  }

  /** Largest value; NaN if empty. */
  max(slot: number): number {
    return this.count(slot) === 0 ? NaN : (this.#cells[slot * WIDTH + 5] as number)
  }

  /** Empties a slot. */
  clear(slot: number): void {
    this.#cells.fill(0, slot * WIDTH, slot * WIDTH + WIDTH)
  }

  /** Empties all slots and keeps the memory. */
  reset(): void {
    this.#cells.fill(0)
  }

  /** Writes a slot (6 doubles, or 1 byte if empty). */
  encode(slot: number, writer: ByteWriter): void {
    const n = this.count(slot)
    writer.varint(n)
    if (n > 0) for (let i = 1; i < WIDTH; i++) writer.f64(this.#cells[slot * WIDTH + i] as number)
  }

  /** Adds what `encode` wrote to a slot. Throws RangeError when the bytes end early. */
  decode(slot: number, reader: ByteReader): void {
    const n = reader.varint()
    if (n === 0) return
    const sum = reader.f64()
    const mean = reader.f64()
    const m2 = reader.f64()
    const min = reader.f64()
    this.#fold(slot, n, sum, mean, m2, min, reader.f64())
  }

  #fold(slot: number, n: number, sum: number, mean: number, m2: number, min: number, max: number): void {
    this.#reach(slot)
    const cells = this.#cells
    const at = slot * WIDTH
    const had = cells[at] as number
    const total = had + n
    const apart = mean - (cells[at + 2] as number)
    cells[at] = total
    cells[at + 1] = (cells[at + 1] as number) + sum
    cells[at + 2] = had === 0 ? mean : (cells[at + 2] as number) + (apart * n) / total
    cells[at + 3] = (cells[at + 3] as number) + m2 + (had === 0 ? 0 : (apart * apart * had * n) / total)
    cells[at + 4] = had === 0 ? min : Math.min(cells[at + 4] as number, min)
    cells[at + 5] = had === 0 ? max : Math.max(cells[at + 5] as number, max)
  }

  #reach(slot: number): void {
    const need = (slot + 1) * WIDTH
    if (need <= this.#cells.length) return
    const cells = new Float64Array(Math.max(need, this.#cells.length * 2))
    cells.set(this.#cells)
    this.#cells = cells
  }
}

const WIDTH = 6
