import type { Layout } from './layout.ts'
import type { PlanLimits } from './planner.ts'

/** A replica to give up at the cap: one that the target does not have, where others remain. */
function dropOne(layout: Layout, target: Layout): boolean {
  for (let s = 0; s < layout.segments; s++) {
    if (layout.count[s]! < 2) continue
    for (let i = 0; i < layout.instances; i++) {
      if (!layout.holds(s, i) || target.holds(s, i)) continue
      layout.drop(s, i)
      return true
    }
  }
  return false
}

/** Replicas of `target` that `layout` lacks: the copies that it takes to get there. */
export function distance(layout: Layout, target: Layout): number {
  let copies = 0
  for (let at = 0; at < layout.has.length; at++) if (target.has[at] === 1 && layout.has[at] === 0) copies++
  return copies
}

/**
 * Brings a layout nearer to another, hottest segments first, within the limits; returns the copies started. What the
 * target does not have is dropped once the segment has all that it has there.
 */
export function approach(
  work: ArrayLike<number>,
  layout: Layout,
  target: Layout,
  limits: PlanLimits,
): number {
  const lacking = new Set<number>()
  for (let at = 0; at < layout.has.length; at++)
    if (target.has[at] === 1 && layout.has[at] === 0) lacking.add(Math.floor(at / layout.instances))
  const order = [...lacking].sort((a, b) => work[b]! - work[a]! || a - b)
  let copies = 0
  for (const s of order) {
    for (let i = 0; i < layout.instances && copies < limits.copies; i++) {
      if (!target.holds(s, i) || layout.holds(s, i)) continue
      const spare = layout.holders(s).find((k) => !target.holds(s, k))
      if (spare !== undefined && layout.count[s]! >= target.count[s]!) layout.drop(s, spare)
      else if (layout.total >= limits.cap && !dropOne(layout, target)) return copies
      layout.add(s, i)
      copies++
    }
  }
  for (let s = 0; s < layout.segments; s++)
    for (let i = 0; i < layout.instances; i++)
      if (layout.holds(s, i) && !target.holds(s, i) && layout.count[s]! > target.count[s]!) layout.drop(s, i)
  return copies
}
