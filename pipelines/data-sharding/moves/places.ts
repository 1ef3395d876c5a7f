/** A bounded number of places; who waits longest gets the next. */
export interface Places {
  take(): Promise<void>
  leave(): void
  /** Lets everybody in, now and later. */
  open(): void
}

/** `count` free places. */
export function createPlaces(count: number): Places {
  const waiting: (() => void)[] = []
  let [free, isOpen] = [count, false]
  return {
    async take() {
      if (isOpen) return
      if (free === 0) await new Promise<void>((resolve) => waiting.push(resolve))
      else free--
    },
    leave() {
      const next = waiting.shift()
      if (next === undefined) free++
      else next()
    },
    open() {
      isOpen = true
      for (const next of waiting.splice(0)) next()
    },
  }
}
