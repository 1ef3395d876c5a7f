import { type ByteReader, type ByteWriter, DistinctColumn, murmur3, SketchColumn } from '../math/index.ts'
import type { AggregateSpec, NumberOf } from './aggregates.ts'
import { Cells, type Fold } from './cells.ts'
import { HEAD_NUMBERS } from './key-table.ts'
import type { Row } from './row.ts'

/** One aggregate of all keys of a window, indexed by the slot of the key. */
export interface AggregateColumn {
  /** Takes records in, in order: record i belongs to `slots[i]`, its numbers are `inputs[k][i]`. */
  addRun(slots: Int32Array, inputs: readonly Float64Array[], count: number): void
  /** Appends the state of a slot. */
  encode(slot: number, out: ByteWriter): void
  /** Merges an encoded state into a slot. */
  merge(slot: number, from: ByteReader): void
  /** Merges a slot of another column of the same plan into a slot: the same as `encode` there and `merge` here. */
  absorb(slot: number, from: AggregateColumn, fromSlot: number): void
  /** Empties a slot. */
  clear(slot: number): void
  /** The value of a slot; for a sketch its quantile `p`, for a histogram its bin `p`. NaN if nothing was added. */
  value(slot: number, p: number): number
  /** Bytes held, without those of the shared cells. */
  readonly bytes: number
}

/** The aggregates of one pane: a column each; those that fold share rows of cells, behind the keys of the pane. */
export interface PaneColumns {
  readonly cells: Cells
  readonly columns: readonly AggregateColumn[]
}

/** Makes the columns of a pane. */
type CreateColumn = (cells: Cells) => AggregateColumn

/** What a window keeps, prepared once for all of its panes: which numbers it takes from a record, and the columns. */
export class AggregatePlan {
  /** Numbers to take from each record; a number that several aggregates need is taken once. */
  readonly inputs: readonly NumberOf[]
  readonly #folds: Fold[] = []
  readonly #columns: readonly CreateColumn[]

  constructor(specs: readonly AggregateSpec[]) {
    const inputs: NumberOf[] = []
    this.inputs = inputs
    const inputOf = (of: NumberOf): number => {
      const at = inputs.indexOf(of)
      return at >= 0 ? at : inputs.push(of) - 1
    }
    this.#columns = specs.map((spec) => this.#plan(spec, inputOf))
  }

  /** Empty columns for a pane. */
  createColumns(): PaneColumns {
    const cells = new Cells(this.#folds, HEAD_NUMBERS)
    return { cells, columns: this.#columns.map((create) => create(cells)) }
  }

  #plan(spec: AggregateSpec, inputOf: (of: NumberOf) => number): CreateColumn {
    const cell = this.#folds.length
    switch (spec.kind) {
      case 'count':
        this.#folds.push('sum')
        return (cells) => new FoldColumn(cells, cell, 'sum', null)
      case 'sum':
      case 'min':
      case 'max': {
        const fold = spec.kind
        const input = inputOf(spec.of)
        this.#folds.push(fold)
        return (cells) => new FoldColumn(cells, cell, fold, input)
      }
      case 'mean': {
        const input = inputOf(spec.of)
        this.#folds.push('sum', 'sum')
        return (cells) => new MeanColumn(cells, cell, input)
      }
      case 'sketch': {
        const input = inputOf(spec.of)
        return () => new QuantileColumn(input)
      }
      case 'distinct': {
        const input = inputOf(hashOf(spec.slot))
        return () => new DistinctCountColumn(input)
      }
      case 'histogram': {
        const [input, bin] = [inputOf(spec.of), inputOf(spec.bin)]
        return () => new HistogramColumn(input, bin, spec.bins)
      }
    }
  }
}

/** The hash of a string field, as a number that a run can hold. */
const hashOf =
  (slot: number) =>
  (row: Row): number => {
    const start = row.starts[slot] as number
    return murmur3(row.buffer, start, (row.ends[slot] as number) - start)
  }

/** One cell; without an input it counts. */
class FoldColumn implements AggregateColumn {
  readonly bytes = 0
  readonly #cells: Cells
  readonly #cell: number
  readonly #fold: Fold
  readonly #input: number | null

  constructor(cells: Cells, cell: number, fold: Fold, input: number | null) {
    this.#cells = cells
    this.#cell = cell
    this.#fold = fold
    this.#input = input
  }

  addRun(slots: Int32Array, inputs: readonly Float64Array[], count: number): void {
    if (this.#input === null) return this.#cells.increment(slots, this.#cell, count)
    const values = inputs[this.#input] as Float64Array
    if (this.#fold === 'sum') this.#cells.add(slots, this.#cell, values, count)
    else if (this.#fold === 'min') this.#cells.least(slots, this.#cell, values, count)
    else this.#cells.most(slots, this.#cell, values, count)
  }

  encode(slot: number, out: ByteWriter): void {
    out.f64(this.#cells.get(slot, this.#cell))
  }

  merge(slot: number, from: ByteReader): void {
    this.#cells.fold(slot, this.#cell, from.f64())
  }

  absorb(slot: number, from: FoldColumn, fromSlot: number): void {
    this.#cells.fold(slot, this.#cell, from.#cells.get(fromSlot, from.#cell))
  }

  clear(slot: number): void {
    this.#cells.clear(slot, this.#cell)
  }

  value(slot: number): number {
    return this.#cells.get(slot, this.#cell)
  }
}

/** Sum and count in two cells. */
class MeanColumn implements AggregateColumn {
  readonly bytes = 0
  readonly #cells: Cells
  readonly #cell: number
  readonly #input: number

  constructor(cells: Cells, cell: number, input: number) {
    this.#cells = cells
    this.#cell = cell
    this.#input = input
  }

  addRun(slots: Int32Array, inputs: readonly Float64Array[], count: number): void {
    this.#cells.add(slots, this.#cell, inputs[this.#input] as Float64Array, count)
    this.#cells.increment(slots, this.#cell + 1, count)
  }

  encode(slot: number, out: ByteWriter): void {
    out.f64(this.#cells.get(slot, this.#cell))
    out.f64(this.#cells.get(slot, this.#cell + 1))
  }

  merge(slot: number, from: ByteReader): void {
    this.#cells.fold(slot, this.#cell, from.f64())
    this.#cells.fold(slot, this.#cell + 1, from.f64())
  }

  absorb(slot: number, from: MeanColumn, fromSlot: number): void {
    this.#cells.fold(slot, this.#cell, from.#cells.get(fromSlot, from.#cell))
    this.#cells.fold(slot, this.#cell + 1, from.#cells.get(fromSlot, from.#cell + 1))
  }

  clear(slot: number): void {
    this.#cells.clear(slot, this.#cell)
    this.#cells.clear(slot, this.#cell + 1)
  }

  value(slot: number): number {
    return this.#cells.get(slot, this.#cell) / this.#cells.get(slot, this.#cell + 1)
  }
}

class QuantileColumn implements AggregateColumn {
  readonly #sketches = new SketchColumn()
  readonly #input: number

  constructor(input: number) {
    this.#input = input
  }

  get bytes(): number {
    return this.#sketches.memoryBytes
  }

  addRun(slots: Int32Array, inputs: readonly Float64Array[], count: number): void {
    const values = inputs[this.#input] as Float64Array
    for (let i = 0; i < count; i++) this.#sketches.add(slots[i] as number, values[i] as number)
  }

  encode(slot: number, out: ByteWriter): void {
    this.#sketches.encode(slot, out)
  }

  merge(slot: number, from: ByteReader): void {
    this.#sketches.decode(slot, from)
  }

  absorb(slot: number, from: QuantileColumn, fromSlot: number): void {
    this.#sketches.merge(slot, from.#sketches, fromSlot)
  }

  clear(slot: number): void {
    this.#sketches.clear(slot)
  }

  value(slot: number, p: number): number {
    return this.#sketches.quantile(slot, p)
  }
}

class DistinctCountColumn implements AggregateColumn {
  readonly #registers = new DistinctColumn()
  readonly #input: number

  constructor(input: number) {
    this.#input = input
  }

  get bytes(): number {
    return this.#registers.memoryBytes
  }

  addRun(slots: Int32Array, inputs: readonly Float64Array[], count: number): void {
    const hashes = inputs[this.#input] as Float64Array
    for (let i = 0; i < count; i++) this.#registers.add(slots[i] as number, hashes[i] as number)
  }

  encode(slot: number, out: ByteWriter): void {
    this.#registers.encode(slot, out)
  }

  merge(slot: number, from: ByteReader): void {
    this.#registers.decode(slot, from)
  }

  absorb(slot: number, from: DistinctCountColumn, fromSlot: number): void {
    this.#registers.merge(slot, from.#registers, fromSlot)
  }

  clear(slot: number): void {
    this.#registers.clear(slot)
  }

  value(slot: number): number {
    return this.#registers.estimate(slot)
  }
}

/** A row of cells of its own: most records touch one of many bins. */
class HistogramColumn implements AggregateColumn {
  readonly #sums: Cells
  readonly #input: number
  readonly #bin: number
  readonly #bins: number

  constructor(input: number, bin: number, bins: number) {
    this.#sums = new Cells(Array.from({ length: bins }, () => 'sum' as const))
    this.#input = input
    this.#bin = bin
    this.#bins = bins
  }

  get bytes(): number {
    return this.#sums.bytes
  }

  addRun(slots: Int32Array, inputs: readonly Float64Array[], count: number): void {
    const values = inputs[this.#input] as Float64Array
    const bins = inputs[this.#bin] as Float64Array
    for (let i = 0; i < count; i++)
      this.#sums.fold(slots[i] as number, bins[i] as number, values[i] as number)
  }

  encode(slot: number, out: ByteWriter): void {
    for (let bin = 0; bin < this.#bins; bin++) out.f64(this.#sums.get(slot, bin))
  }

  merge(slot: number, from: ByteReader): void {
    for (let bin = 0; bin < this.#bins; bin++) this.#sums.fold(slot, bin, from.f64())
  }

  absorb(slot: number, from: HistogramColumn, fromSlot: number): void {
    for (let bin = 0; bin < this.#bins; bin++) this.#sums.fold(slot, bin, from.#sums.get(fromSlot, bin))
  }

  clear(slot: number): void {
    for (let bin = 0; bin < this.#bins; bin++) this.#sums.clear(slot, bin)
  }

  value(slot: number, bin: number): number {
    return this.#sums.get(slot, bin)
  }
}
