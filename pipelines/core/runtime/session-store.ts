import type { AggregatePlan } from './aggregate-columns.ts'
import { KeyedTable } from './keyed-table.ts'
import type { SessionShape } from './session-shape.ts'
import { breathe } from './breathe.ts'
import type { Pane } from './window-store.ts'

/** Takes a session that is final: read it now, its slot is used again. Times are those of its first and last record. */
export type TakeSession = (
  sessions: KeyedTable,
  slot: number,
  startMs: number,
  endMs: number,
  incomplete: boolean,
) => void

const FIRST_SLOTS = 64
const NONE = -1
const INCOMPLETE = 1
/** The chain is longer than a session may be: from now on every line cuts it. */
const CUT = 2
/** Smaller tables are not worth a rebuild. */
const LEAST_REBUILT = 1024

/**
 * The open sessions of a task, a slot per key. Slices come in the order of time, each with one entry per key, so there is
 * at most one open chain per key and nothing ever has to be split. Of a chain that has crossed a multiple of
 * `maxLengthMs` and may still turn out to be short enough for one session, what lies beyond the line is kept apart
 * (`#next`), until it is known whether the line cuts.
 */
export class SessionStore {
  readonly #gapMs: number
  readonly #maxLengthMs: number
  readonly #plan: AggregatePlan
  readonly #take: TakeSession
  #table: KeyedTable
  #starts = new Float64Array(FIRST_SLOTS)
  /** Last event time of the chain; -Infinity: the key has no session. */
  #lasts = new Float64Array(FIRST_SLOTS).fill(Number.NEGATIVE_INFINITY)
  #flags = new Uint8Array(FIRST_SLOTS)
  /** Where the part beyond the line is; NONE: nothing is. */
  #nextOf = new Int32Array(FIRST_SLOTS).fill(NONE)
  readonly #next: KeyedTable
  readonly #freeNext: number[] = []
  #nextSlots = 0
  /** Last event time before the line, and first one behind it. */
  #before = new Float64Array(FIRST_SLOTS)
  #behind = new Float64Array(FIRST_SLOTS)
  #open = 0

  constructor(shape: SessionShape, plan: AggregatePlan, take: TakeSession) {
    this.#gapMs = shape.gapMs
    this.#maxLengthMs = shape.maxLengthMs
    this.#plan = plan
    this.#take = take
    this.#table = new KeyedTable(plan)
    this.#next = new KeyedTable(plan)
  }

  /** Number of keys with an open session. */
  get size(): number {
    return this.#open
  }

  /** Bytes held. */
  get bytes(): number {
    return (
      this.#table.bytes + this.#next.bytes + this.#starts.length * (8 + 8 + 1 + 4) + this.#before.length * 16
    )
  }

  /** Takes in a slice of which nothing more can come; all earlier ones have been taken. */
  async fold(slice: Pane): Promise<void> {
    const firsts = slice.columns.at(-2)
    const lasts = slice.columns.at(-1)
    if (firsts === undefined || lasts === undefined) throw new TypeError('a slice has its times')
    for (let from = 0; from < slice.keys.size; from++) {
      const pause = breathe(from + 1)
      if (pause !== undefined) await pause
      const slot = this.#table.keys.slotOf(slice.keys, from)
      if (slot >= this.#starts.length) this.#grow()
      const into = this.#extend(slot, firsts.value(from, 0), lasts.value(from, 0))
      if (slice.incomplete) this.#flags[slot] = (this.#flags[slot] as number) | INCOMPLETE
      const { columns } = into === NONE ? this.#table : this.#next
      for (let c = 0; c < columns.length; c++)
        columns[c]?.absorb(into === NONE ? slot : into, slice.columns[c] as (typeof columns)[number], from)
    }
  }

  /** Makes room for records of `firstMs` to `lastMs`: NONE if they belong to the slot itself, else their slot of `#next`. */
  #extend(slot: number, firstMs: number, lastMs: number): number {
    const wasMs = this.#lasts[slot] as number
    if (firstMs - wasMs > this.#gapMs) {
      if (wasMs !== Number.NEGATIVE_INFINITY) this.#finish(slot)
      this.#open++
      this.#starts[slot] = firstMs
      this.#lasts[slot] = lastMs
      return NONE
    }
    this.#lasts[slot] = lastMs
    const crosses = this.#lineOf(firstMs) !== this.#lineOf(wasMs)
    const isCut = ((this.#flags[slot] as number) & CUT) !== 0
    if (!isCut && lastMs - (this.#starts[slot] as number) <= this.#maxLengthMs)
      return crosses ? this.#begin(slot, wasMs, firstMs) : (this.#nextOf[slot] as number)
    if (!isCut) this.#cut(slot)
    if (crosses) {
      this.#give(slot, wasMs)
      this.#starts[slot] = firstMs
    }
    return NONE
  }

  #lineOf(timeMs: number): number {
    return Math.floor(timeMs / this.#maxLengthMs)
  }

  /** Begins the part beyond a line. */
  #begin(slot: number, beforeMs: number, behindMs: number): number {
    const next = this.#freeNext.pop() ?? this.#nextSlots++
    if (next >= this.#before.length) {
      this.#before = doubled(this.#before)
      this.#behind = doubled(this.#behind)
    }
    this.#before[next] = beforeMs
    this.#behind[next] = behindMs
    this.#nextOf[slot] = next
    return next
  }

  /** The chain is too long for one session: what lies before the line, if it has crossed one, is final. */
  #cut(slot: number): void {
    this.#flags[slot] = (this.#flags[slot] as number) | CUT
    const next = this.#nextOf[slot] as number
    if (next === NONE) return
    this.#give(slot, this.#before[next] as number)
    this.#starts[slot] = this.#behind[next] as number
    this.#join(slot, next)
  }

  /** What lies beyond the line becomes part of the slot itself. */
  #join(slot: number, next: number): void {
    const { columns } = this.#table
    columns.forEach((column, c) => {
      const from = this.#next.columns[c] as typeof column
      column.absorb(slot, from, next)
      from.clear(next)
    })
    this.#nextOf[slot] = NONE
    this.#freeNext.push(next)
  }

  /** Gives a final session away and empties its slot. */
  #give(slot: number, endMs: number): void {
    const incomplete = ((this.#flags[slot] as number) & INCOMPLETE) !== 0
    this.#take(this.#table, slot, this.#starts[slot] as number, endMs, incomplete)
    for (const column of this.#table.columns) column.clear(slot)
  }

  /** Nothing more comes to the chain. */
  #finish(slot: number): void {
    const next = this.#nextOf[slot] as number
    if (next !== NONE) this.#join(slot, next)
    this.#give(slot, this.#lasts[slot] as number)
    this.#lasts[slot] = Number.NEGATIVE_INFINITY
    this.#flags[slot] = 0
    this.#open--
  }

  /** Gives away what no record from `settledMs` on can continue; all slices that end by then have been taken in. */
  async close(settledMs: number): Promise<void> {
    const slots = this.#table.keys.size
    for (let slot = 0, rows = 0; slot < slots; slot++) {
      const lastMs = this.#lasts[slot] as number
      if (lastMs === Number.NEGATIVE_INFINITY || settledMs - lastMs <= this.#gapMs) continue
      this.#finish(slot)
      const pause = breathe(++rows)
      if (pause !== undefined) await pause
    }
    if (slots >= LEAST_REBUILT && this.#open * 2 < slots) await this.#rebuild()
  }

  /** A table of keys only grows: one that is half empty is written anew, which costs each session at most one copy. */
  async #rebuild(): Promise<void> {
    const old = this.#table
    const table = new KeyedTable(this.#plan)
    for (let from = 0, kept = 0; from < old.keys.size; from++) {
      if (this.#lasts[from] === Number.NEGATIVE_INFINITY) continue
      const pause = breathe(++kept)
      if (pause !== undefined) await pause
      const slot = table.keys.slotOf(old.keys, from)
      table.columns.forEach((column, c) => column.absorb(slot, old.columns[c] as typeof column, from))
      // Slots only move down, so nothing is overwritten that is still to be read.
      this.#starts[slot] = this.#starts[from] as number
      this.#lasts[slot] = this.#lasts[from] as number
      this.#flags[slot] = this.#flags[from] as number
      this.#nextOf[slot] = this.#nextOf[from] as number
    }
    const slots = Math.max(FIRST_SLOTS, 2 ** Math.ceil(Math.log2(table.keys.size * 2)))
    this.#starts = this.#starts.slice(0, slots)
    this.#lasts = this.#lasts.slice(0, slots).fill(Number.NEGATIVE_INFINITY, table.keys.size)
    this.#flags = this.#flags.slice(0, slots).fill(0, table.keys.size)
    this.#nextOf = this.#nextOf.slice(0, slots).fill(NONE, table.keys.size)
    this.#table = table
  }

  /**
   * The earliest event time that the open sessions rest on, +Infinity if there are none: a chain that is not too long on
   * all of its records, one that has been cut on so many of them that its length shows again.
   */
  get restsOnMs(): number {
    let earliestMs = Number.POSITIVE_INFINITY
    for (let slot = 0; slot < this.#table.keys.size; slot++) {
      const lastMs = this.#lasts[slot] as number
      if (lastMs === Number.NEGATIVE_INFINITY) continue
      const isCut = ((this.#flags[slot] as number) & CUT) !== 0
      const fromMs = isCut ? lastMs - this.#maxLengthMs - 1 - this.#gapMs : (this.#starts[slot] as number)
      if (fromMs < earliestMs) earliestMs = fromMs
    }
    return earliestMs
  }

  #grow(): void {
    const slots = this.#starts.length
    this.#starts = doubled(this.#starts)
    this.#lasts = doubled(this.#lasts).fill(Number.NEGATIVE_INFINITY, slots)
    this.#flags = doubled(this.#flags)
    this.#nextOf = doubled(this.#nextOf).fill(NONE, slots)
  }
}

function doubled<Column extends Float64Array | Int32Array | Uint8Array>(from: Column): Column {
  const to = new (from.constructor as new (length: number) => Column)(from.length * 2)
  to.set(from)
  return to
}
