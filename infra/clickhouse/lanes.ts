import { refusal } from './exceptions.ts'

/** A bounded number of places, and a bounded queue for them. */
export interface Lane {
  /** Resolves with a place; rejects with 202 when the queue is full, or with the reason of `signal`. */
  enter(signal: AbortSignal): Promise<void>
  leave(): void
  readonly running: number
}

/** A lane of `places`; at most `queue` wait, each no longer than `waitMs`. */
export function createLane(name: string, places: number, queue: number, waitMs: number): Lane {
  let running = 0
  const waiting: (() => void)[] = []
  const tooMany = (why: string) =>
    refusal(202, 'TOO_MANY_SIMULTANEOUS_QUERIES', `Too many simultaneous queries in the ${name} lane: ${why}`)

  const wait = (signal: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      const quit = (error: unknown) => {
        const at = waiting.indexOf(go)
        if (at >= 0) waiting.splice(at, 1)
        cleanUp()
        reject(error instanceof Error ? error : new Error(String(error)))
      }
      const onAbort = () => quit(signal.reason)
      const timer = setTimeout(() => quit(tooMany(`waited ${waitMs} ms`)), waitMs)
      const cleanUp = () => {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      }
      const go = () => {
        cleanUp()
        resolve()
      }
      signal.addEventListener('abort', onAbort, { once: true })
      waiting.push(go)
    })

  return {
    async enter(signal) {
      signal.throwIfAborted()
      if (running < places) {
        running++
        return
      }
      if (waiting.length >= queue) throw tooMany(`${queue} wait already`)
      await wait(signal)
    },
    leave() {
      // A place that is handed on stays counted.
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    },
    get running() {
      return running
    },
  }
}
