import { createPause, type Pause, type Timers } from '#core/ports'

/** Tries work again until it succeeds. */
export interface Insist {
  /**
   * Resolves with the result of the first try that does not fail; rejects with Stopped after `stop`, and with an error
   * that `isFinal` says will not pass.
   */
  run<T>(work: () => Promise<T>, isFinal?: (error: unknown) => boolean): Promise<T>
  stop(): void
  /** What the last try failed with, '' if it did not. */
  readonly failure: string
}

/** Thrown by `Insist` once it is stopped. */
class Stopped extends Error {}

const LONGEST_PAUSE_MS = 2000

/** Pauses begin with `retryMs` and double up to two seconds. */
export function createInsist(timers: Timers, retryMs: number, onWarning: (error: Error) => void): Insist {
  const pauses = new Set<Pause>()
  let stopped = false
  let failure = ''

  async function wait(ms: number): Promise<void> {
    const pause = createPause(timers)
    pauses.add(pause)
    await pause.wait(ms)
    pauses.delete(pause)
  }

  return {
    async run(work, isFinal = () => false) {
      for (let attempt = 0; ; attempt++) {
        if (stopped) throw new Stopped('The applier has stopped')
        try {
          const result = await work()
          failure = ''
          return result
        } catch (error) {
          if (isFinal(error)) throw error
          failure = error instanceof Error ? error.message : String(error)
          onWarning(error instanceof Error ? error : new Error(failure))
          await wait(Math.min(retryMs * 2 ** attempt, LONGEST_PAUSE_MS))
        }
      }
    },
    stop() {
      stopped = true
      for (const pause of pauses) pause.end()
    },
    get failure() {
      return failure
    },
  }
}
