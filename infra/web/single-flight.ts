/** Answers that are still fresh, or under way. */
export interface SingleFlight {
  /** The answer of `key`: the one under way or fresh, or a new one by `make`. Failures are not kept. */
  get<T>(key: string, make: () => Promise<T>): Promise<T>
}

/**
 * Many open pages ask ClickHouse once: equal requests share an answer while it is under way and for `freshMs`
 * after. Holds at most `max` answers.
 */
export function createSingleFlight(nowMs: () => number, freshMs: number, max: number): SingleFlight {
  const held = new Map<string, { answer: Promise<unknown>; untilMs: number }>()
  return {
    get<T>(key: string, make: () => Promise<T>): Promise<T> {
      const known = held.get(key)
      if (known !== undefined && nowMs() < known.untilMs) return known.answer as Promise<T>
      held.delete(key)
      const answer = make()
      const entry = { answer, untilMs: Number.POSITIVE_INFINITY }
      held.set(key, entry)
      if (held.size > max) held.delete(held.keys().next().value as string)
      const drop = () => {
        if (held.get(key) === entry) held.delete(key)
      }
      const keep = (): void => {
        entry.untilMs = nowMs() + freshMs
      }
      answer.then(keep, drop)
      return answer
    },
  }
}
