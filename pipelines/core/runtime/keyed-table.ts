import type { AggregateColumn, AggregatePlan } from './aggregate-columns.ts'
import type { Cells } from './cells.ts'
import { KeyTable } from './key-table.ts'

/** Keys and their aggregates, both by slot. */
export class KeyedTable {
  readonly keys: KeyTable
  readonly columns: readonly AggregateColumn[]
  readonly #cells: Cells

  constructor(plan: AggregatePlan) {
    const { cells, columns } = plan.createColumns()
    this.#cells = cells
    this.keys = new KeyTable(cells)
    this.columns = columns
  }

  /** Bytes held. */
  get bytes(): number {
    return this.columns.reduce((total, column) => total + column.bytes, this.keys.bytes + this.#cells.bytes)
  }
}
