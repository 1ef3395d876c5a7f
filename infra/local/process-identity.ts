import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/**
 * A process and when it started: pids are reused, so a pid alone never tells whose process it is.
 * `startedAt` is opaque; it is only compared.
 */
export interface ProcessIdentity {
  pid: number
  startedAt: string
}

let bootId: string | undefined

/** /proc/<pid>/stat, field 22: start in clock ticks since boot (proc(5)); the boot id tells boots apart. */
function linuxStart(pid: number): string | undefined {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  // The name (field 2) may hold blanks and brackets: fields are counted from the last bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const state = fields[0]
  // A zombie has ended, but its ports and files are only free once its last thread has.
  if (state === 'X' || (state === 'Z' && readdirSync(`/proc/${pid}/task`).length < 2)) return undefined
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return `${bootId}:${fields[19] ?? ''}`
}

/** Start time as `ps` prints it (whole seconds): macOS has no /proc. */
function psStart(pid: number): string | undefined {
  const line = execFileSync('ps', ['-o', 'stat=,lstart=', '-p', String(pid)], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { ...process.env, LC_ALL: 'C' },
  }).trim()
  if (line === '' || line.startsWith('Z')) return undefined
  return `ps:${line.replace(/^\S+\s+/, '')}`
}

/** The identity of a running process; undefined if there is none of this pid (a zombie counts as none). */
export function identityOf(pid: number): ProcessIdentity | undefined {
  try {
    const startedAt = process.platform === 'linux' ? linuxStart(pid) : psStart(pid)
    return startedAt === undefined ? undefined : { pid, startedAt }
  } catch {
    return undefined
  }
}

/** True if this very process (not a later one of the same pid) still runs. */
export const isRunning = (identity: ProcessIdentity): boolean =>
  identityOf(identity.pid)?.startedAt === identity.startedAt

/** Waits until this process is gone; false if it still runs after `timeoutMs`. */
export async function waitUntilGone(identity: ProcessIdentity, timeoutMs: number): Promise<boolean> {
  const deadline = Date.now() + timeoutMs
  while (isRunning(identity)) {
    if (Date.now() > deadline) return false
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return true
}
