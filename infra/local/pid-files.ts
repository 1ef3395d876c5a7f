import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readIdentity } from './data-folder.ts'
import { identityOf, isRunning, waitUntilGone } from './process-identity.ts'

const GONE_TIMEOUT_MS = 10_000

/** Notes of which process runs each part, so that the next start finds what a crash left behind. */
export interface PidFiles {
  record(part: string, pid: number): void
  clear(part: string): void
  /** Kills the processes noted that still run; returns their parts. Never touches a pid that was given to another process since. */
  killOrphans(): Promise<string[]>
}

/** Pid files in `folder`, one per part. */
export function pidFiles(folder: string): PidFiles {
  mkdirSync(folder, { recursive: true })
  const fileOf = (part: string): string => join(folder, `${part}.json`)
  const clear = (part: string): void => rmSync(fileOf(part), { force: true })
  return {
    clear,
    record(part, pid) {
      const identity = identityOf(pid)
      if (identity) writeFileSync(fileOf(part), JSON.stringify(identity))
    },
    async killOrphans() {
      const killed: string[] = []
      for (const name of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
        const part = name.slice(0, -'.json'.length)
        const identity = readIdentity(fileOf(part))
        if (identity && isRunning(identity)) {
          process.kill(identity.pid, 'SIGKILL')
          await waitUntilGone(identity, GONE_TIMEOUT_MS)
          killed.push(part)
        }
        clear(part)
      }
      return killed
    },
  }
}
