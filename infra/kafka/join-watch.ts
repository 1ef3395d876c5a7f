import { hasApiError, isTransient } from './retry.ts'

const ASK_EVERY_MS = 1000
/** An answer may be on its way while the first heartbeat is refused. */
const REFUSALS = 2

/** What a watch needs. */
export interface JoinWatchOptions {
  /** A heartbeat of the generation before the join, on another connection. */
  heartbeat(): Promise<void>
  /** A heartbeat failed: the coordinator may have moved, or hang. */
  failed(error: unknown): void
  /** The group has gone on: the join was carried out, and its answer is lost. */
  lost(): void
}

/**
 * Watches over a join. It rightly waits for as long as the slowest member works, and would be waited for as long where
 * its answer is lost with the connection. Heartbeats tell the two apart: until the join is carried out, the coordinator
 * accepts the old generation. Returns what ends the watch.
 */
export function watchJoin(options: JoinWatchOptions): () => void {
  let refusals = 0
  let asking = false

  async function ask(): Promise<void> {
    if (asking) return
    asking = true
    try {
      await options.heartbeat()
      refusals = 0
    } catch (error) {
      if (hasApiError(error, 'ILLEGAL_GENERATION', 'UNKNOWN_MEMBER_ID')) refusals++
      else if (!hasApiError(error, 'REBALANCE_IN_PROGRESS') && isTransient(error)) options.failed(error)
      if (refusals === REFUSALS) options.lost()
    } finally {
      asking = false
    }
  }

  const timer = setInterval(() => void ask(), ASK_EVERY_MS)
  timer.unref()
  return () => clearInterval(timer)
}
