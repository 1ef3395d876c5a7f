import type { ByteReader, ByteWriter } from './bytes.ts'

/** One heavy item: the true weight lies in `weight - error .. weight`. */
export interface TopItem {
  readonly id: number
  readonly weight: number
  readonly error: number
}

/**
 * The k heaviest ids of many slots (Space-Saving, Metwally et al. 2005): any id whose true weight exceeds
 * total / k is present. Ids are 32-bit unsigned integers that mean the same to everyone who merges:
 * a port, an AS number, or a hash whose names the caller keeps. Merging (Agarwal et al. 2012) keeps the
 * bounds; while a slot has seen at most k ids all is exact and in any order, above that the survivors
 * depend on the order. 20 k + 1 bytes a slot.
 */
export class TopKColumn {
  readonly k: number
  #used: Uint8Array
  #ids: Uint32Array
  #weights: Float64Array
  #errors: Float64Array

  /** `k`: 1..255 ids kept per slot. Throws RangeError otherwise. `slots`: first capacity. */
  constructor(k: number, slots = 16) {
    if (!(Number.isInteger(k) && k >= 1 && k <= 255)) throw new RangeError(`k must be 1..255, is ${k}`)
    this.k = k
    const first = Math.max(1, slots)
    this.#used = new Uint8Array(first)
    this.#ids = new Uint32Array(first * k)
    this.#weights = new Float64Array(first * k)
    this.#errors = new Float64Array(first * k)
  }

  /** Bytes held by this column. */
  get memoryBytes(): number {
    return this.#used.byteLength + this.#ids.byteLength + this.#weights.byteLength + this.#errors.byteLength
  }

  /** Adds weight (> 0, finite; anything else is ignored) to an id. */
  add(slot: number, id: number, weight = 1): void {
    if (!(weight > 0 && weight < Infinity)) return
    this.#reach(slot)
    this.#put(slot, id >>> 0, weight, 0)
  }

  /** The items of a slot, heaviest first, ties by id. */
  top(slot: number): TopItem[] {
    const items: TopItem[] = []
    for (let i = 0; i < (this.#used[slot] ?? 0); i++) {
      const at = slot * this.k + i
      items.push({
        id: this.#ids[at] as number,
        weight: this.#weights[at] as number,
        error: this.#errors[at] as number,
      })
    }
    return items.sort((a, b) => b.weight - a.weight || a.id - b.id)
  }

  /** Adds another column's slot: an id that one side lacks may have had up to that side's smallest weight. */
  merge(slot: number, other: TopKColumn, otherSlot: number): void {
    this.#reach(slot)
    this.#mergeItems(slot, other.top(otherSlot), other.#floor(otherSlot))
  }

  /** Empties a slot. */
  clear(slot: number): void {
    if (slot < this.#used.length) this.#used[slot] = 0
  }

  /** Empties all slots and keeps the memory. */
  reset(): void {
    this.#used.fill(0)
  }

  /** Writes a slot, heaviest first. Equal contents, equal bytes. */
  encode(slot: number, writer: ByteWriter): void {
    const items = this.top(slot)
    writer.u8(items.length)
    writer.f64(this.#floor(slot))
    for (const item of items) {
      writer.u32(item.id)
      writer.f64(item.weight)
      writer.f64(item.error)
    }
  }

  /** Adds what `encode` wrote to a slot (a merge if the slot is in use). Throws RangeError when the bytes end early. */
  decode(slot: number, reader: ByteReader): void {
    this.#reach(slot)
    const count = reader.u8()
    const floor = reader.f64()
    const items: TopItem[] = []
    for (let i = 0; i < count; i++)
      items.push({ id: reader.u32(), weight: reader.f64(), error: reader.f64() })
    this.#mergeItems(slot, items, floor)
  }

  #mergeItems(slot: number, items: readonly TopItem[], otherFloor: number): void {
    const mine = this.top(slot)
    const myFloor = this.#floor(slot)
    const byId = new Map<number, TopItem>()
    for (const item of items) byId.set(item.id, raised(item, myFloor, myFloor))
    const theirs = new Map(items.map((item) => [item.id, item]))
    for (const item of mine) {
      const match = theirs.get(item.id)
      byId.set(item.id, raised(item, match?.weight ?? otherFloor, match?.error ?? otherFloor))
    }
    const kept = [...byId.values()].sort((a, b) => b.weight - a.weight || a.id - b.id).slice(0, this.k)
    this.#used[slot] = 0
    for (const item of kept) this.#append(slot, item.id, item.weight, item.error)
  }

  /** What an id that is absent may have had at most: 0 while there is room. */
  #floor(slot: number): number {
    if ((this.#used[slot] ?? 0) < this.k) return 0
    return this.#weights[slot * this.k + this.#lightest(slot)] as number
  }

  #put(slot: number, id: number, weight: number, error: number): void {
    const used = this.#used[slot] as number
    const start = slot * this.k
    for (let i = 0; i < used; i++) {
      if (this.#ids[start + i] !== id) continue
      this.#weights[start + i] = (this.#weights[start + i] as number) + weight
      this.#errors[start + i] = (this.#errors[start + i] as number) + error
      return
    }
    if (used < this.k) {
      this.#append(slot, id, weight, error)
      return
    }
    const at = start + this.#lightest(slot)
    const least = this.#weights[at] as number
    this.#ids[at] = id
    this.#weights[at] = least + weight
    this.#errors[at] = least + error
  }

  #append(slot: number, id: number, weight: number, error: number): void {
    const used = this.#used[slot] as number
    const at = slot * this.k + used
    this.#ids[at] = id
    this.#weights[at] = weight
    this.#errors[at] = error
    this.#used[slot] = used + 1
  }

  #lightest(slot: number): number {
    const start = slot * this.k
    let best = 0
    for (let i = 1; i < (this.#used[slot] as number); i++) {
      const less = (this.#weights[start + i] as number) - (this.#weights[start + best] as number)
      const id = this.#ids[start + i] as number
      if (less < 0 || (less === 0 && id > (this.#ids[start + best] as number))) best = i
    }
    return best
  }

  #reach(slot: number): void {
    const had = this.#used.length
    if (slot < had) return
    const slots = Math.max(slot + 1, had * 2)
    const used = new Uint8Array(slots)
    used.set(this.#used)
    this.#used = used
    const ids = new Uint32Array(slots * this.k)
    ids.set(this.#ids)
    this.#ids = ids
    const weights = new Float64Array(slots * this.k)
    weights.set(this.#weights)
    this.#weights = weights
    const errors = new Float64Array(slots * this.k)
    errors.set(this.#errors)
    this.#errors = errors
  }
}

const raised = (item: TopItem, weight: number, error: number): TopItem => ({
  id: item.id,
  weight: item.weight + weight,
  error: item.error + error,
})
