import { afterAll, beforeAll } from 'vitest'
import { until } from './until.ts'

/** What keeps a process alive after its work is done. */
const WATCHED = ['ProcessWrap', 'TCPSocketWrap', 'TCPServerWrap', 'PipeConnectWrap']

function count(): Map<string, number> {
  const counts = new Map<string, number>()
  for (const name of process.getActiveResourcesInfo()) counts.set(name, (counts.get(name) ?? 0) + 1)
  return counts
}

/**
 * Fails a test file that leaves child processes, sockets or servers open. To be called at the top of the file,
 * before its own hooks, so that this one runs after theirs.
 */
export function failOnLeaks(): void {
  let before = new Map<string, number>()
  beforeAll(() => {
    before = count()
  })
  afterAll(async () => {
    const leaked = (): string[] =>
      WATCHED.filter((name) => (count().get(name) ?? 0) > (before.get(name) ?? 0))
    await until(() => leaked().length === 0, { timeoutMs: 5000 }).catch(() => {
      throw new Error(`This test file leaves open: ${leaked().join(', ')}`)
    })
  })
}
