/** Chooses among candidates by the loss they would have had: follow the leader, with hysteresis. */
export interface Selector {
  /** The candidate to act on. */
  leader(): string
  /** Notes what a candidate lost on one interval. */
  note(candidate: string, loss: number): void
  /** Recent mean loss of a candidate; NaN before the first note. */
  loss(candidate: string): number
  /** Considers a change of leader; call once all candidates of an interval are noted. */
  settle(): void
}

/** When the leader changes. */
export interface SelectorSettings {
  /** Intervals over which losses are averaged (exponentially). */
  readonly memory: number
  /** A challenger must lose less by this share to take over. */
  readonly margin: number
  /** Notes a challenger needs before it can take over. */
  readonly minimum: number
}

interface Record {
  mean: number
  notes: number
}

/** See {@link Selector}; `leader` acts until another has proved better. */
export function createSelector(leader: string, settings: SelectorSettings): Selector {
  const records = new Map<string, Record>()
  let current = leader
  const loss = (candidate: string) => records.get(candidate)?.mean ?? NaN
  return {
    leader: () => current,
    loss,
    note: (candidate, value) => {
      const record = records.get(candidate) ?? { mean: 0, notes: 0 }
      record.notes++
      record.mean += (value - record.mean) / Math.min(record.notes, settings.memory)
      records.set(candidate, record)
    },
    settle: () => {
      let best = current
      for (const [candidate, record] of records)
        if (record.notes >= settings.minimum && record.mean < loss(best)) best = candidate
      if (best !== current && loss(best) < loss(current) * (1 - settings.margin)) current = best
    },
  }
}
