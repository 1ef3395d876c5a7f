/**
 * Minimises `cost` over `start.length` free parameters (Nelder and Mead 1965, standard coefficients).
 * Deterministic; a cost that is not finite counts as worst. Returns the best point seen.
 */
export function nelderMead(
  cost: (point: Float64Array) => number,
  start: Float64Array,
  step: number,
  iterations: number,
): Float64Array {
  const n = start.length
  const safe = (point: Float64Array): number => {
    const value = cost(point)
    return Number.isFinite(value) ? value : Number.MAX_VALUE
  }
  const simplex = Array.from({ length: n + 1 }, (_, i) => {
    const point = start.slice()
    if (i > 0) point[i - 1] = (point[i - 1] as number) + step
    return { point, value: safe(point) }
  })
  const byValue = (a: { value: number }, b: { value: number }) => a.value - b.value
  const along = (centre: Float64Array, worst: Float64Array, factor: number) => {
    const point = centre.map((c, i) => c + factor * ((worst[i] as number) - c))
    return { point, value: safe(point) }
  }
  for (let round = 0; round < iterations; round++) {
    simplex.sort(byValue)
    const best = simplex[0] as Vertex
    const worst = simplex[n] as Vertex
    if (worst.value - best.value <= 1e-9 * Math.abs(best.value)) break
    const centre = start.map(
      (_, i) => simplex.slice(0, n).reduce((sum, v) => sum + (v.point[i] as number), 0) / n,
    )
    const reflected = along(centre, worst.point, -1)
    if (reflected.value < best.value) {
      const further = along(centre, worst.point, -2)
      simplex[n] = further.value < reflected.value ? further : reflected
    } else if (reflected.value < (simplex[n - 1] as Vertex).value) {
      simplex[n] = reflected
    } else {
      const nearer = along(centre, worst.point, reflected.value < worst.value ? -0.5 : 0.5)
      if (nearer.value < Math.min(worst.value, reflected.value)) simplex[n] = nearer
      else for (let i = 1; i <= n; i++) simplex[i] = along(best.point, (simplex[i] as Vertex).point, 0.5)
    }
  }
  return simplex.sort(byValue)[0]?.point ?? start
}

interface Vertex {
  readonly point: Float64Array
  readonly value: number
}

/** Share of the first search (rounds, step) that a second one gets, from where the first ended. */
const WARM = 0.5

/**
 * A search that remembers: the first call starts at `start` with `iterations`, later ones at the best point of the call before with fewer and
 * smaller steps. For a model that is fitted to the first part of a history, then to all of it.
 */
export function warmSearch(
  start: Float64Array,
  step: number,
  iterations: number,
): (cost: (point: Float64Array) => number) => Float64Array {
  let best: Float64Array | undefined
  return (cost) => {
    const first = best === undefined
    const rounds = first ? iterations : Math.ceil(WARM * iterations)
    best = nelderMead(cost, best ?? start, first ? step : WARM * step, rounds).slice()
    return best
  }
}
