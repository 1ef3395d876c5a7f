/** Chooses among candidates by the loss they would have had: follow the leader, with hysteresis. */
export interface Selector {
  /** The candidate to act on. */
  leader(): string
  /** Notes what each candidate lost on one interval, and considers a change of leader. */
  note(losses: ReadonlyMap<string, number>): void
  /** Recent mean loss of a candidate; NaN before the first note. */
  loss(candidate: string): number
}

/** When the leader changes. */
export interface SelectorSettings {
  /** Intervals over which losses are averaged (exponentially). */
  readonly memory: number
  /** A challenger must lose less by this share to take over. */
  readonly margin: number
  /** Intervals a challenger must have been compared on before it can take over. */
  readonly minimum: number
  /** And the mean gain must be this many standard errors above 0: one burst proves nothing. */
  readonly certainty: number
}

/** Exponentially weighted mean and variance. */
interface Moments {
  count: number
  mean: number
  variance: number
}

const fresh = (): Moments => ({ count: 0, mean: 0, variance: 0 })

function add(moments: Moments, value: number, memory: number): void {
  moments.count++
  const weight = 1 / Math.min(moments.count, memory)
  const difference = value - moments.mean
  moments.mean += weight * difference
  moments.variance = (1 - weight) * (moments.variance + weight * difference * difference)
}

/** See {@link Selector}; `leader` acts until another has proved better. */
export function createSelector(leader: string, settings: SelectorSettings): Selector {
  const { memory, margin, minimum, certainty } = settings
  let current = leader
  const losses = new Map<string, Moments>()
  /** Leader's loss minus challenger's, interval by interval: what the two have in common cancels. */
  let gains = new Map<string, Moments>()
  const into = (map: Map<string, Moments>, key: string, value: number) => {
    const moments = map.get(key) ?? fresh()
    add(moments, value, memory)
    map.set(key, moments)
  }
  const proved = (gain: Moments) => {
    const error = Math.sqrt(gain.variance / Math.min(gain.count, memory))
    return (
      gain.count >= minimum && gain.mean > certainty * error && gain.mean > margin * losses.get(current)!.mean
    )
  }
  return {
    leader: () => current,
    loss: (candidate) => losses.get(candidate)?.mean ?? NaN,
    note: (values) => {
      for (const [candidate, value] of values) into(losses, candidate, value)
      const own = values.get(current)
      if (own === undefined) return
      for (const [candidate, value] of values) if (candidate !== current) into(gains, candidate, own - value)
      const best = [...gains].filter(([, gain]) => proved(gain)).sort(([, a], [, b]) => b.mean - a.mean)[0]
      if (best === undefined) return
      current = best[0]
      gains = new Map()
    },
  }
}
