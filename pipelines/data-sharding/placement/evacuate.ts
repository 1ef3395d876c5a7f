import type { Layout } from './layout.ts'
import { rendezvousOrder } from './layout.ts'
import type { PlanLimits } from './planner.ts'
import type { Strength } from './strength.ts'

/** An instance takes what a lost one held up to this much beyond its part. */
const BOUND = 1.25

/** Replicas by which a layout is short of instances that are up, of one segment. */
function lost(layout: Layout, { values }: Strength, segment: number): { down: number[]; up: number } {
  const down: number[] = []
  let up = 0
  for (let i = 0; i < layout.instances; i++) {
    if (!layout.holds(segment, i)) continue
    if (values[i]! > 0) up++
    else down.push(i)
  }
  return { down, up }
}

/** Where replicas go: where the guide has one, or weighted rendezvous hashing with bounded loads (Mirrokni et al. 2018). */
class Refuge {
  readonly #order: Uint8Array
  readonly #loads: Float64Array
  readonly #layout: Layout
  readonly #strength: Strength
  readonly #guide: Layout | null
  readonly #fair: number

  constructor(work: ArrayLike<number>, layout: Layout, strength: Strength, guide: Layout | null) {
    this.#layout = layout
    this.#strength = strength
    this.#guide = guide
    this.#order = rendezvousOrder(layout.segments, layout.instances, strength)
    this.#loads = new Float64Array(layout.instances)
    let total = 0
    for (let s = 0; s < layout.segments; s++) {
      total += work[s]!
      const { up } = lost(layout, strength, s)
      for (let i = 0; i < layout.instances; i++)
        if (up > 0 && layout.holds(s, i) && strength.values[i]! > 0) this.#loads[i]! += work[s]! / up
    }
    this.#fair = total / strength.sum
  }

  /** The instance to take a replica of the segment, told what it will carry; -1 if every one that is up holds it. */
  take(segment: number, work: number): number {
    const { values } = this.#strength
    const free: number[] = []
    for (let k = 0; k < values.length; k++) {
      const i = this.#order[segment * values.length + k]!
      if (values[i]! > 0 && !this.#layout.holds(segment, i)) free.push(i)
    }
    if (free.length === 0) return -1
    const level = (i: number) => (this.#loads[i]! + work) / values[i]!
    const to =
      free.find((i) => this.#guide?.holds(segment, i)) ??
      free.find((i) => level(i) <= BOUND * this.#fair) ??
      free.reduce((a, b) => (level(b) < level(a) ? b : a))
    this.#loads[to]! += work
    return to
  }
}

/**
 * Moves replicas off instances that are down. What lies on nothing else goes at once, whatever it takes: nobody could read
 * it. Other replicas lost are made up for elsewhere, most work first, within the copies that are left. Where
 * `guide` has a replica that the layout lacks, it goes there. Returns the copies.
 */
export function evacuate(
  work: ArrayLike<number>,
  layout: Layout,
  strength: Strength,
  limits: PlanLimits,
  guide: Layout | null = null,
): number {
  if (strength.isEven) return 0
  const hurt: { segment: number; down: number[]; up: number }[] = []
  for (let segment = 0; segment < layout.segments; segment++) {
    const { down, up } = lost(layout, strength, segment)
    if (down.length > 0) hurt.push({ segment, down, up })
  }
  if (hurt.length === 0) return 0
  const urgent = (up: number) => (up === 0 ? 0 : 1)
  hurt.sort((a, b) => urgent(a.up) - urgent(b.up) || work[b.segment]! - work[a.segment]!)
  const refuge = new Refuge(work, layout, strength, guide)
  let copies = 0
  for (const { segment, down, up } of hurt) {
    for (const [k, from] of down.entries()) {
      const isOnly = up === 0 && k === 0
      if (!isOnly && copies >= limits.copies) continue
      const to = refuge.take(segment, work[segment]! / (up + k + 1))
      if (to < 0) continue
      layout.drop(segment, from)
      layout.add(segment, to)
      copies++
    }
  }
  return copies
}
