import { setTimeout as delay } from 'node:timers/promises'

/**
 * Polls `condition` until it gives something truthy, and returns that. A failure of the condition counts as
 * "not yet". Throws after `timeoutMs` (default 20,000), naming `what`.
 */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: { timeoutMs?: number; everyMs?: number; what?: string } = {},
): Promise<T> {
  const { timeoutMs = 20_000, everyMs = 20, what = 'the condition' } = options
  const deadline = performance.now() + timeoutMs
  let failure: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value
    } catch (error) {
      failure = error
    }
    if (performance.now() > deadline)
      throw new Error(`${what}: not within ${timeoutMs} ms`, { cause: failure })
    await delay(everyMs)
  }
}
