import type { Random, TimerHandle, Timers } from '#core/ports'

/** Pauses that double up to a limit, jittered, and that can be cut short. */
export interface Backoff {
  /** Waits for the next pause, or until `wake`. */
  pause(): Promise<void>
  /** Ends a pause under way. */
  wake(): void
  /** Begins again with the first pause. */
  reset(): void
}

/** Pauses of half to all of `firstMs`, 2 × `firstMs`, … up to `lastMs`. */
export function createBackoff(timers: Timers, random: Random, firstMs: number, lastMs: number): Backoff {
  let nextMs = firstMs
  let timer: TimerHandle | null = null
  let end: () => void = () => undefined
  return {
    pause() {
      const delayMs = nextMs * (0.5 + random.uniform() / 2)
      nextMs = Math.min(lastMs, 2 * nextMs)
      return new Promise((resolve) => {
        end = resolve
        timer = timers.after(delayMs, resolve)
      })
    },
    wake() {
      timer?.cancel()
      end()
    },
    reset() {
      nextMs = firstMs
    },
  }
}
