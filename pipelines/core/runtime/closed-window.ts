import type { KeyedTable } from './keyed-table.ts'

/** One key of a closed window. Overwritten by the next key: read it, do not keep it. */
export class ClosedWindow {
  /** Start of the window; of a session its first event time. */
  startMs = 0
  /** End of the window, which no longer belongs to it; of a session its last event time. */
  endMs = 0
  incomplete = false
  #pane: KeyedTable | undefined
  #slot = 0
  readonly #columns: ReadonlyMap<string, number>

  constructor(aggregateNames: readonly string[]) {
    this.#columns = new Map(aggregateNames.map((name, i) => [name, i]))
  }

  /** Points at one key of what has closed. */
  at(pane: KeyedTable, slot: number, startMs: number, endMs: number, incomplete: boolean): void {
    this.#pane = pane
    this.#slot = slot
    this.startMs = startMs
    this.endMs = endMs
    this.incomplete = incomplete
  }

  /** The key as text. */
  get key(): string {
    return this.#pane?.keys.text(this.#slot) ?? ''
  }

  /** The value of an aggregate by name. Throws RangeError if the topology has none of that name. */
  value(name: string): number {
    return this.quantile(name, 0.5)
  }

  /** A bin of a histogram. */
  bin(name: string, bin: number): number {
    return this.quantile(name, bin)
  }

  /** A quantile (0..1) of a sketch. */
  quantile(name: string, p: number): number {
    const column = this.#columns.get(name)
    const aggregate = column === undefined ? undefined : this.#pane?.columns[column]
    if (aggregate === undefined) throw new RangeError(`no aggregate '${name}'`)
    return aggregate.value(this.#slot, p)
  }
}
