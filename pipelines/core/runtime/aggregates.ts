import { type ByteReader, type ByteWriter, DistinctColumn, murmur3, SketchColumn } from '../math/index.ts'
import type { Row } from './row.ts'

/** A number taken from a record: the slot of a field, or a function of the record. */
export type NumberOf = number | ((row: Row) => number)

/** What to keep per key and window. All are mergeable: merge(a, b) equals adding all records to one. */
export type AggregateSpec =
  | { readonly kind: 'count' }
  | { readonly kind: 'sum' | 'min' | 'max' | 'mean' | 'sketch'; readonly of: NumberOf }
  | { readonly kind: 'distinct'; readonly slot: number }
  | {
      readonly kind: 'histogram'
      readonly of: NumberOf
      readonly bin: (row: Row) => number
      readonly bins: number
    }

/** Number of records. */
export const count = (): AggregateSpec => ({ kind: 'count' })
/** Sum of a value. */
export const sum = (of: NumberOf): AggregateSpec => ({ kind: 'sum', of })
/** Smallest value. */
export const min = (of: NumberOf): AggregateSpec => ({ kind: 'min', of })
/** Largest value. */
export const max = (of: NumberOf): AggregateSpec => ({ kind: 'max', of })
/** Arithmetic mean. */
export const mean = (of: NumberOf): AggregateSpec => ({ kind: 'mean', of })
/** Quantiles within 1 % (DDSketch: Masson, Rim, Lee, VLDB 2019). */
export const sketch = (of: NumberOf): AggregateSpec => ({ kind: 'sketch', of })
/** Number of distinct values of a string field, estimated. */
export const distinct = (slot: number): AggregateSpec => ({ kind: 'distinct', slot })

/** Sum of a value per bin: `bin` gives 0..bins-1 of a record. */
export const histogram = (of: NumberOf, bins: number, bin: (row: Row) => number): AggregateSpec => ({
  kind: 'histogram',
  of,
  bin,
  bins,
})

/** One aggregate of all keys of a window: a column indexed by the slot of the key. */
export interface AggregateColumn {
  /** Takes a record in. The first record of a slot makes it. */
  add(slot: number, row: Row): void
  /** Appends the state of a slot. */
  encode(slot: number, out: ByteWriter): void
  /** Merges an encoded state into a slot. */
  merge(slot: number, from: ByteReader): void
  /** The value of a slot; for a sketch its quantile `p`, for a histogram its bin `p`. NaN if nothing was added. */
  value(slot: number, p: number): number
  /** Bytes held. */
  readonly bytes: number
}

const valueOf = (of: NumberOf): ((row: Row) => number) =>
  typeof of === 'number' ? (row) => row.numbers[of] as number : of

/** Makes the column of a specification. */
export function createColumn(spec: AggregateSpec): AggregateColumn {
  switch (spec.kind) {
    case 'count':
      return new FoldColumn(() => 1, 'sum')
    case 'sum':
    case 'min':
    case 'max':
      return new FoldColumn(valueOf(spec.of), spec.kind)
    case 'mean':
      return new MeanColumn(valueOf(spec.of))
    case 'sketch':
      return new QuantileColumn(valueOf(spec.of))
    case 'distinct':
      return new DistinctCountColumn(spec.slot)
    case 'histogram':
      return new HistogramColumn(valueOf(spec.of), spec.bin, spec.bins)
  }
}

type Column = Float64Array<ArrayBuffer>

const START = { sum: 0, min: Number.POSITIVE_INFINITY, max: Number.NEGATIVE_INFINITY }

function grown(column: Column, slot: number, fill: number): Column {
  const next = new Float64Array(Math.max(64, column.length * 2, slot + 1))
  next.set(column)
  if (fill !== 0) next.fill(fill, column.length)
  return next
}

class FoldColumn implements AggregateColumn {
  #values: Column = new Float64Array(0)
  readonly #of: (row: Row) => number
  readonly #fold: 'sum' | 'min' | 'max'

  constructor(of: (row: Row) => number, fold: 'sum' | 'min' | 'max') {
    this.#of = of
    this.#fold = fold
  }

  get bytes(): number {
    return this.#values.byteLength
  }

  #take(slot: number, x: number): void {
    if (slot >= this.#values.length) this.#values = grown(this.#values, slot, START[this.#fold])
    const was = this.#values[slot] as number
    if (this.#fold === 'sum') this.#values[slot] = was + x
    else if (this.#fold === 'min' ? x < was : x > was) this.#values[slot] = x
  }

  add(slot: number, row: Row): void {
    this.#take(slot, this.#of(row))
  }

  encode(slot: number, out: ByteWriter): void {
    out.f64(this.#values[slot] ?? START[this.#fold])
  }

  merge(slot: number, from: ByteReader): void {
    this.#take(slot, from.f64())
  }

  value(slot: number): number {
    return this.#values[slot] ?? Number.NaN
  }
}

class MeanColumn implements AggregateColumn {
  #sums: Column = new Float64Array(0)
  #counts: Column = new Float64Array(0)
  readonly #of: (row: Row) => number

  constructor(of: (row: Row) => number) {
    this.#of = of
  }

  get bytes(): number {
    return this.#sums.byteLength * 2
  }

  #take(slot: number, total: number, n: number): void {
    if (slot >= this.#sums.length) {
      this.#sums = grown(this.#sums, slot, 0)
      this.#counts = grown(this.#counts, slot, 0)
    }
    this.#sums[slot] = (this.#sums[slot] as number) + total
    this.#counts[slot] = (this.#counts[slot] as number) + n
  }

  add(slot: number, row: Row): void {
    this.#take(slot, this.#of(row), 1)
  }

  encode(slot: number, out: ByteWriter): void {
    out.f64(this.#sums[slot] ?? 0)
    out.f64(this.#counts[slot] ?? 0)
  }

  merge(slot: number, from: ByteReader): void {
    this.#take(slot, from.f64(), from.f64())
  }

  value(slot: number): number {
    return (this.#sums[slot] ?? Number.NaN) / (this.#counts[slot] ?? 0)
  }
}

class QuantileColumn implements AggregateColumn {
  readonly #sketches = new SketchColumn()
  readonly #of: (row: Row) => number

  constructor(of: (row: Row) => number) {
    this.#of = of
  }

  get bytes(): number {
    return this.#sketches.memoryBytes
  }

  add(slot: number, row: Row): void {
    this.#sketches.add(slot, this.#of(row))
  }

  encode(slot: number, out: ByteWriter): void {
    this.#sketches.encode(slot, out)
  }

  merge(slot: number, from: ByteReader): void {
    this.#sketches.decode(slot, from)
  }

  value(slot: number, p: number): number {
    return this.#sketches.quantile(slot, p)
  }
}

class DistinctCountColumn implements AggregateColumn {
  readonly #registers = new DistinctColumn()
  readonly #slot: number

  constructor(slot: number) {
    this.#slot = slot
  }

  get bytes(): number {
    return this.#registers.memoryBytes
  }

  add(slot: number, row: Row): void {
    const start = row.starts[this.#slot] as number
    this.#registers.add(slot, murmur3(row.buffer, start, (row.ends[this.#slot] as number) - start))
  }

  encode(slot: number, out: ByteWriter): void {
    this.#registers.encode(slot, out)
  }

  merge(slot: number, from: ByteReader): void {
    this.#registers.decode(slot, from)
  }

  value(slot: number): number {
    return this.#registers.estimate(slot)
  }
}

class HistogramColumn implements AggregateColumn {
  #sums: Column = new Float64Array(0)
  readonly #of: (row: Row) => number
  readonly #bin: (row: Row) => number
  readonly #bins: number

  constructor(of: (row: Row) => number, bin: (row: Row) => number, bins: number) {
    this.#of = of
    this.#bin = bin
    this.#bins = bins
  }

  get bytes(): number {
    return this.#sums.byteLength
  }

  #take(slot: number, bin: number, x: number): void {
    const at = slot * this.#bins + bin
    if (at >= this.#sums.length) this.#sums = grown(this.#sums, (slot + 1) * this.#bins, 0)
    this.#sums[at] = (this.#sums[at] as number) + x
  }

  add(slot: number, row: Row): void {
    this.#take(slot, this.#bin(row), this.#of(row))
  }

  encode(slot: number, out: ByteWriter): void {
    for (let bin = 0; bin < this.#bins; bin++) out.f64(this.#sums[slot * this.#bins + bin] ?? 0)
  }

  merge(slot: number, from: ByteReader): void {
    for (let bin = 0; bin < this.#bins; bin++) this.#take(slot, bin, from.f64())
  }

  value(slot: number, bin: number): number {
    return this.#sums[slot * this.#bins + bin] ?? Number.NaN
  }
}
