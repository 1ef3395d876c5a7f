import { createBackground } from './background.ts'
import { type FollowerSnapshot, writeSnapshot } from './snapshot-file.ts'

/** Writes the newest state, one write at a time: changes during a write are written together after it. */
export interface SnapshotWriter {
  request(): void
  /** Resolves once all that was requested is on disk, or has failed. */
  flushed(): Promise<void>
}

/** `take` is called when a write begins; `report` after each, with the error if it failed. */
export function createSnapshotWriter<Body>(
  file: string,
  take: () => FollowerSnapshot<Body>,
  report: (error: Error | null) => void,
): SnapshotWriter {
  const writing = createBackground(async () => {
    try {
      await writeSnapshot(file, take())
      report(null)
    } catch (e) {
      report(e instanceof Error ? e : new Error(String(e)))
    }
  })
  return { request: () => writing.kick(), flushed: () => writing.settled() }
}
