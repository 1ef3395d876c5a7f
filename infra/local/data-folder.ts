import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { ForestallError } from '#core/ports'
import { identityOf, isRunning, type ProcessIdentity } from './process-identity.ts'

/** Reads a file that holds a process identity; undefined if it is missing or unreadable. */
export function readIdentity(file: string): ProcessIdentity | undefined {
  try {
    const { pid, startedAt } = JSON.parse(readFileSync(file, 'utf8')) as Partial<ProcessIdentity>
    return typeof pid === 'number' && typeof startedAt === 'string' ? { pid, startedAt } : undefined
  } catch {
    return undefined
  }
}

function refuse(path: string, holder: ProcessIdentity): never {
  throw new ForestallError(
    'ALREADY_RUNNING',
    `Another instance (process ${holder.pid}) already uses the data folder ${path}.`,
  )
}

/**
 * Takes a lock whose holder is gone out of the way. Two starts may do this at once, so what was moved is
 * looked at again: if it is a fresh lock by now, it is put back.
 */
function removeStale(path: string, file: string): void {
  const moved = `${file}.${process.pid}`
  try {
    renameSync(file, moved)
  } catch {
    return
  }
  const holder = readIdentity(moved)
  if (holder && isRunning(holder)) {
    linkSync(moved, file)
    rmSync(moved)
    refuse(path, holder)
  }
  rmSync(moved)
}

/**
 * Locks a data folder (made if missing) for this process; returns what releases it. The lock is a file that
 * names its holder by pid and start time, so a lock left by a crash does not stand in the way.
 * Throws ALREADY_RUNNING.
 */
export function lockDataFolder(path: string): () => void {
  mkdirSync(path, { recursive: true })
  const file = join(path, 'lock.json')
  const draft = join(path, `lock.${process.pid}.draft`)
  writeFileSync(draft, JSON.stringify(identityOf(process.pid)))
  try {
    for (;;) {
      try {
        // A link appears with its content, and fails if the name exists.
        linkSync(draft, file)
        return () => rmSync(file, { force: true })
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const holder = readIdentity(file)
      if (holder && isRunning(holder)) refuse(path, holder)
      removeStale(path, file)
    }
  } finally {
    rmSync(draft, { force: true })
  }
}
