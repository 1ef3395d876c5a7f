import type { ExpectedWork } from '#core/ports'

const KEEP = 0.9
const FIRST_MS = 5

/** Forms of queries are kept up to `capacity`; the one that was not seen for longest goes first. */
export function createExpectedWork(capacity = 4096): ExpectedWork {
  const byForm = new Map<string, number>()
  return {
    of: (operation) => byForm.get(operation) ?? FIRST_MS,
    note(operation, elapsedMs) {
      const before = byForm.get(operation)
      byForm.delete(operation)
      // A slow instance must not teach that the query is long: what is far above counts as a little above.
      const seen = before === undefined ? elapsedMs : Math.min(elapsedMs, 2 * before)
      byForm.set(operation, before === undefined ? seen : KEEP * before + (1 - KEEP) * seen)
      if (byForm.size <= capacity) return
      const [oldest] = byForm.keys()
      if (oldest !== undefined) byForm.delete(oldest)
    },
  }
}
