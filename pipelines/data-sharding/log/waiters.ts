/** Whoever waits for a position. */
export interface Waiters {
  /** Resolves with true once `next()` has come to `offset`, with false at `signal`. */
  wait(next: () => number, offset: number, signal: AbortSignal): Promise<boolean>
  /** To be called after every move. */
  check(): void
}

interface Waiter {
  readonly next: () => number
  readonly offset: number
  readonly resolve: (reached: boolean) => void
}

/** Nobody waits yet. */
export function createWaiters(): Waiters {
  const waiters = new Set<Waiter>()
  return {
    wait(next, offset, signal) {
      if (next() >= offset) return Promise.resolve(true)
      if (signal.aborted) return Promise.resolve(false)
      return new Promise((resolve) => {
        const onAbort = (): void => waiter.resolve(false)
        const waiter: Waiter = {
          next,
          offset,
          resolve(reached) {
            waiters.delete(waiter)
            signal.removeEventListener('abort', onAbort)
            resolve(reached)
          },
        }
        waiters.add(waiter)
        signal.addEventListener('abort', onAbort, { once: true })
      })
    },
    check() {
      for (const waiter of waiters) if (waiter.next() >= waiter.offset) waiter.resolve(true)
    },
  }
}
