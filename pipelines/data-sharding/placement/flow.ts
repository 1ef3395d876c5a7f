import type { Layout } from './layout.ts'

/** How reads of a segment are shared among its replicas: evenly, or by the load that instances have at the moment. */
export type Routing = 'equal' | 'live'

const ROUNDS = 3

/** Work per instance (and per replica) when loads meet a layout. Holds its own memory: read the results, do not keep them. */
export class Flow {
  /** Work per instance. */
  readonly loads: Float64Array
  /** Work per replica, at `segment * instances + instance`; 0 where there is none. */
  readonly shares: Float64Array
  readonly #order: Int32Array
  readonly #instances: number

  constructor(segments: number, instances: number) {
    this.loads = new Float64Array(instances)
    this.shares = new Float64Array(segments * instances)
    this.#order = new Int32Array(instances)
    this.#instances = instances
  }

  /** Routes one step. */
  route(work: ArrayLike<number>, layout: Layout, routing: Routing): void {
    this.#equal(work, layout)
    if (routing === 'equal') return
    for (let round = 0; round < ROUNDS; round++)
      for (let s = 0; s < layout.segments; s++)
        if (layout.count[s]! >= 2 && work[s]! > 0) this.#pour(s, work[s]!, layout)
  }

  #equal(work: ArrayLike<number>, layout: Layout): void {
    const { loads, shares } = this
    const n = this.#instances
    loads.fill(0)
    for (let s = 0, at = 0; s < layout.segments; s++) {
      const share = work[s]! / layout.count[s]!
      for (let i = 0; i < n; i++, at++) {
        const here = layout.has[at] === 1 ? share : 0
        shares[at] = here
        loads[i]! += here
      }
    }
  }

  /** Takes a segment off its instances and pours it back where the level is lowest: exact water-filling. */
  #pour(segment: number, work: number, layout: Layout): void {
    const { loads, shares } = this
    const order = this.#order
    const base = segment * this.#instances
    let held = 0
    for (let i = 0; i < this.#instances; i++) {
      if (layout.has[base + i] === 0) continue
      loads[i]! -= shares[base + i]!
      let at = held++
      for (; at > 0 && loads[order[at - 1]!]! > loads[i]!; at--) order[at] = order[at - 1]!
      order[at] = i
    }
    let used = 1
    let level = loads[order[0]!]!
    let rest = work
    for (; used < held; used++) {
      const need = (loads[order[used]!]! - level) * used
      if (need >= rest) break
      rest -= need
      level = loads[order[used]!]!
    }
    level += rest / used
    for (let k = 0; k < held; k++) {
      const i = order[k]!
      const share = k < used ? Math.max(0, level - loads[i]!) : 0
      shares[base + i] = share
      loads[i]! += share
    }
  }
}

/** Index of the largest value; the first among equals. */
export function hottest(loads: Float64Array): number {
  let at = 0
  for (let i = 1; i < loads.length; i++) if (loads[i]! > loads[at]!) at = i
  return at
}
