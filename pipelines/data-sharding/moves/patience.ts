import { createPause, type Timers } from '#core/ports'

/** Pauses after failures in a row, which a stop cuts short. */
export interface Patience {
  /** Waits the longer the more failures there were, up to five seconds. */
  rest(failures: number): Promise<void>
  /** Tries until it succeeds; rejects with an error that `isFinal`, and with any once it is stopped. */
  insist<T>(work: () => Promise<T>, isFinal: (error: unknown) => boolean): Promise<T>
}

const RETRY_MS = 200
const LONGEST_RETRY_MS = 5000

/** Patience until `signal`. */
export function createPatience(
  timers: Timers,
  signal: AbortSignal,
  onWarning: (error: Error) => void,
): Patience {
  async function rest(failures: number): Promise<void> {
    const pause = createPause(timers)
    const end = (): void => pause.end()
    signal.addEventListener('abort', end, { once: true })
    if (!signal.aborted) await pause.wait(Math.min(LONGEST_RETRY_MS, RETRY_MS * 2 ** Math.min(failures, 10)))
    signal.removeEventListener('abort', end)
  }

  return {
    rest,
    async insist(work, isFinal) {
      for (let failures = 0; ; failures++) {
        try {
          return await work()
        } catch (error) {
          if (signal.aborted || isFinal(error)) throw error
          onWarning(error as Error)
          await rest(failures)
        }
      }
    },
  }
}
