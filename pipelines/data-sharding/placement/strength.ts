/** How strong instances are beside each other; one that is down has 0. The mean of those that are up is 1. */
export interface Strength {
  readonly values: Float64Array
  /** Sum over instances; their number where all are equal. */
  readonly sum: number
  /** All equal: planners then work on plain loads, to the digit. */
  readonly isEven: boolean
}

/** Instances that are equally strong. */
export const evenStrength = (instances: number): Strength => ({
  values: new Float64Array(instances).fill(1),
  sum: instances,
  isEven: true,
})

/**
 * Strengths from capacities in any unit; 0, or what is no number, for an instance that is down. Where none is up nothing
 * can be weighed: all count as equal.
 */
export function strengthOf(capacities: ArrayLike<number>): Strength {
  const values = Float64Array.from(capacities, (c) => (c > 0 && Number.isFinite(c) ? c : 0))
  const up = values.filter((w) => w > 0)
  if (up.length === 0) return evenStrength(values.length)
  const mean = up.reduce((a, b) => a + b, 0) / up.length
  for (let i = 0; i < values.length; i++) values[i]! /= mean
  const isEven = values.every((w) => w === 1)
  return { values, sum: isEven ? values.length : up.length, isEven }
}
