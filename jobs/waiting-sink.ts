import { createPause, isError, systemTimers } from '#core/ports'
import type { Sink } from '#core/warehouse'

/** Settings of a waiting sink. */
export interface WaitingSinkOptions {
  readonly sink: Pick<Sink, 'start' | 'stop'>
  /** Throws WAREHOUSE_UNAVAILABLE while the warehouse does not answer. */
  readonly prepareTables: () => Promise<void>
  /** Between two attempts, ms. Default 2,000. */
  readonly againMs?: number
  readonly onWarning: (error: Error) => void
  /** What trying again would not mend. */
  readonly onFatal: (error: Error) => void
}

/**
 * A sink whose tables must be prepared first. A warehouse that does not answer delays only its rows, which wait in
 * Kafka: whatever else the process does starts without it. `start` only begins to try.
 */
export function createWaitingSink(options: WaitingSinkOptions): Pick<Sink, 'start' | 'stop'> {
  const { sink, prepareTables, againMs = 2000, onWarning, onFatal } = options
  const pause = createPause(systemTimers)
  const state = { stopped: false }
  let starting: Promise<void> = Promise.resolve()

  async function begin(): Promise<void> {
    while (!state.stopped) {
      try {
        await prepareTables()
        if (!state.stopped) await sink.start()
        return
      } catch (error) {
        if (!isError(error, 'WAREHOUSE_UNAVAILABLE')) return onFatal(error as Error)
        onWarning(error)
        await pause.wait(againMs)
      }
    }
  }

  return {
    async start() {
      starting = begin()
    },
    async stop() {
      state.stopped = true
      pause.end()
      await starting
      await sink.stop()
    },
  }
}
