/** Slots of a page, as a power of two. */
export const PAGE_BITS = 11
/** Slots of a page: growth asks for one page at a time, and copies nothing once the first is full. */
export const PAGE_SLOTS = 1 << PAGE_BITS
const FIRST_SLOTS = 16

/** How a number is folded into a cell. */
export type Fold = 'sum' | 'min' | 'max'

const START: Record<Fold, number> = { sum: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }

/**
 * The folding aggregates of a window (count, sum, mean, min, max): a row of cells per slot. The cells of a slot lie
 * beside each other, and behind its key (`head` numbers are left to the table of keys), so that a record touches one
 * or two cache lines however many aggregates there are.
 */
export class Cells {
  readonly #folds: readonly Fold[]
  readonly #head: number
  readonly #stride: number
  readonly #pages: Float64Array[] = []
  /** The same memory as words: what lies in the heads of rows. */
  readonly #words: Int32Array[] = []
  #room = 0
  #bytes = 0

  constructor(folds: readonly Fold[], head = 0) {
    this.#folds = folds
    this.#head = head
    this.#stride = head + folds.length
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#bytes
  }

  /** Memory of the rows, a page per PAGE_SLOTS slots; a row has `rowWords` words. Only the first page is ever replaced. */
  get words(): readonly Int32Array[] {
    return this.#words
  }

  get rowWords(): number {
    return this.#stride * 2
  }

  /** Makes the rows of all slots up to `slot`; before anything is folded into them. */
  reach(slot: number): void {
    while (slot >= this.#room) this.#grow()
  }

  /** What a cell holds; NaN if nothing was added to the slot. */
  get(slot: number, cell: number): number {
    const at = (slot & (PAGE_SLOTS - 1)) * this.#stride + this.#head + cell
    return this.#pages[slot >>> PAGE_BITS]?.[at] ?? Number.NaN
  }

  /** Folds one number into a cell. */
  fold(slot: number, cell: number, x: number): void {
    this.reach(slot)
    const page = this.#pages[slot >>> PAGE_BITS] as Float64Array
    const at = (slot & (PAGE_SLOTS - 1)) * this.#stride + this.#head + cell
    const was = page[at] as number
    const fold = this.#folds[cell]
    if (fold === 'sum') page[at] = was + x
    else if (fold === 'min' ? x < was : x > was) page[at] = x
  }

  /** Empties a cell. */
  clear(slot: number, cell: number): void {
    const page = this.#pages[slot >>> PAGE_BITS]
    const fold = this.#folds[cell]
    if (page === undefined || fold === undefined) return
    page[(slot & (PAGE_SLOTS - 1)) * this.#stride + this.#head + cell] = START[fold]
  }

  /** Adds `values[i]` to the cell of `slots[i]`, in order. */
  add(slots: Int32Array, cell: number, values: Float64Array, count: number): void {
    const pages = this.#pages
    const stride = this.#stride
    const first = this.#head + cell
    for (let i = 0; i < count; i++) {
      const slot = slots[i] as number
      const at = (slot & (PAGE_SLOTS - 1)) * stride + first
      const page = pages[slot >>> PAGE_BITS] as Float64Array
      page[at] = (page[at] as number) + (values[i] as number)
    }
  }

  /** Adds one to the cell of `slots[i]`. */
  increment(slots: Int32Array, cell: number, count: number): void {
    const pages = this.#pages
    const stride = this.#stride
    const first = this.#head + cell
    for (let i = 0; i < count; i++) {
      const slot = slots[i] as number
      const at = (slot & (PAGE_SLOTS - 1)) * stride + first
      const page = pages[slot >>> PAGE_BITS] as Float64Array
      page[at] = (page[at] as number) + 1
    }
  }

  /** Keeps the smallest. */
  least(slots: Int32Array, cell: number, values: Float64Array, count: number): void {
    const pages = this.#pages
    const stride = this.#stride
    const first = this.#head + cell
    for (let i = 0; i < count; i++) {
      const slot = slots[i] as number
      const at = (slot & (PAGE_SLOTS - 1)) * stride + first
      const page = pages[slot >>> PAGE_BITS] as Float64Array
      if ((values[i] as number) < (page[at] as number)) page[at] = values[i] as number
    }
  }

  /** Keeps the largest. */
  most(slots: Int32Array, cell: number, values: Float64Array, count: number): void {
    const pages = this.#pages
    const stride = this.#stride
    const first = this.#head + cell
    for (let i = 0; i < count; i++) {
      const slot = slots[i] as number
      const at = (slot & (PAGE_SLOTS - 1)) * stride + first
      const page = pages[slot >>> PAGE_BITS] as Float64Array
      if ((values[i] as number) > (page[at] as number)) page[at] = values[i] as number
    }
  }

  /** The first page begins small and doubles: most windows hold few keys. */
  #grow(): void {
    if (this.#room >= PAGE_SLOTS) {
      this.#keep(this.#pages.length, this.#page(PAGE_SLOTS))
      this.#room += PAGE_SLOTS
    } else {
      const slots = Math.max(FIRST_SLOTS, this.#room * 2)
      const page = this.#page(slots)
      if (this.#pages[0] !== undefined) page.set(this.#pages[0])
      this.#keep(0, page)
      this.#room = slots
    }
    this.#bytes = this.#room * this.#stride * 8
  }

  #keep(index: number, page: Float64Array): void {
    this.#pages[index] = page
    if (this.#head > 0) this.#words[index] = new Int32Array(page.buffer)
  }

  #page(slots: number): Float64Array {
    const stride = this.#stride
    const page = new Float64Array(slots * stride)
    this.#folds.forEach((fold, cell) => {
      if (fold !== 'sum')
        for (let at = this.#head + cell; at < page.length; at += stride) page[at] = START[fold]
    })
    return page
  }
}
