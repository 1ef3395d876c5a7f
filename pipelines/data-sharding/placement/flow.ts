import type { Layout } from './layout.ts'
import { evenStrength, type Strength } from './strength.ts'

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
  readonly #even: Strength
  #strength: Strength

  constructor(segments: number, instances: number) {
    this.#even = evenStrength(instances)
    this.#strength = this.#even
    this.loads = new Float64Array(instances)
    this.shares = new Float64Array(segments * instances)
    this.#order = new Int32Array(instances)
    this.#instances = instances
  }

  /** Routes one step: shares follow the strengths, and what is down gets work only where nothing else holds the segment. */
  route(work: ArrayLike<number>, layout: Layout, routing: Routing, strength = this.#even): void {
    this.#strength = strength
    this.#equal(work, layout)
    if (routing === 'equal') return
    for (let round = 0; round < ROUNDS; round++)
      for (let s = 0; s < layout.segments; s++)
        if (layout.count[s]! >= 2 && work[s]! > 0) this.#pour(s, work[s]!, layout)
  }

  /** Load by strength, which planners even out; infinite where work meets an instance that is down. */
  level(instance: number): number {
    return levelOf(this.loads[instance]!, this.#strength.values[instance]!)
  }

  /** Mean load by strength. */
  meanLevel(): number {
    return this.loads.reduce((sum, load) => sum + load, 0) / this.#strength.sum
  }

  /** The instance with the highest level; the first among equals. */
  hottest(): number {
    let at = 0
    for (let i = 1; i < this.#instances; i++) if (this.level(i) > this.level(at)) at = i
    return at
  }

  /** The highest level over the mean: 1 is even. 1 where there is no work. */
  imbalance(): number {
    const mean = this.meanLevel()
    return mean > 0 ? this.level(this.hottest()) / mean : 1
  }

  /** Strength of all holders of a segment. */
  held(layout: Layout, segment: number): number {
    const { isEven, values } = this.#strength
    if (isEven) return layout.count[segment]!
    let sum = 0
    for (let i = 0; i < this.#instances; i++) if (layout.holds(segment, i)) sum += values[i]!
    return sum
  }

  #equal(work: ArrayLike<number>, layout: Layout): void {
    const { loads, shares } = this
    const { values } = this.#strength
    const n = this.#instances
    loads.fill(0)
    for (let s = 0, at = 0; s < layout.segments; s++) {
      const held = this.held(layout, s)
      const unit = held > 0 ? work[s]! / held : work[s]! / layout.count[s]!
      for (let i = 0; i < n; i++, at++) {
        const here = layout.has[at] === 1 ? unit * (held > 0 ? values[i]! : 1) : 0
        shares[at] = here
        loads[i]! += here
      }
    }
  }

  /** Takes a segment off its instances and pours it back where the level is lowest: exact water-filling. */
  #pour(segment: number, work: number, layout: Layout): void {
    const { loads, shares } = this
    const { values } = this.#strength
    const order = this.#order
    const base = segment * this.#instances
    if (!(this.held(layout, segment) > 0)) return
    let held = 0
    for (let i = 0; i < this.#instances; i++) {
      if (layout.has[base + i] === 0 || values[i] === 0) continue
      loads[i]! -= shares[base + i]!
      const level = loads[i]! / values[i]!
      let at = held++
      for (; at > 0 && loads[order[at - 1]!]! / values[order[at - 1]!]! > level; at--)
        order[at] = order[at - 1]!
      order[at] = i
    }
    let used = 1
    let width = values[order[0]!]!
    let level = loads[order[0]!]! / width
    let rest = work
    for (; used < held; used++) {
      const next = order[used]!
      const need = (loads[next]! / values[next]! - level) * width
      if (need >= rest) break
      rest -= need
      level = loads[next]! / values[next]!
      width += values[next]!
    }
    level += rest / width
    for (let k = 0; k < held; k++) {
      const i = order[k]!
      const share = k < used ? Math.max(0, level - loads[i]! / values[i]!) * values[i]! : 0
      shares[base + i] = share
      loads[i]! += share
    }
  }
}

const levelOf = (load: number, strength: number) => (strength > 0 ? load / strength : load > 0 ? Infinity : 0)
