import { execFileSync } from 'node:child_process'
import { mkdirSync, openSync, closeSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'

/** A disk of its own, which can be filled. */
export interface SmallDisk {
  /** Why there is none; '' if there is one. */
  readonly missing: string
  /** Takes all the room that is left. */
  fill(): void
  /** Gives it back. */
  clear(): void
  remove(): void
}

const SIZE = '768m'
const CHUNK = Buffer.alloc(1 << 20)

const run = (command: string, ...args: readonly string[]): void =>
  void execFileSync(command, args, { stdio: 'pipe' })

/**
 * Mounts a small file system in memory (tmpfs) at a folder, so that writes fail with a real ENOSPC. A bound on the
 * size of files (RLIMIT_FSIZE) would need no root, but the engine cannot see it coming as it sees a disk fill up.
 */
export function mountSmallDisk(folder: string): SmallDisk {
  const nothing = (missing: string): SmallDisk => ({
    missing,
    fill() {},
    clear() {},
    remove() {},
  })
  if (process.platform !== 'linux') return nothing('only Linux has tmpfs')
  if (process.getuid?.() !== 0) return nothing('only root may mount a disk that can be filled')
  mkdirSync(folder, { recursive: true })
  try {
    run('mount', '-t', 'tmpfs', '-o', `size=${SIZE}`, 'tmpfs', folder)
  } catch (error) {
    return nothing(`mount failed: ${(error as Error).message.trim().split('\n').at(-1)}`)
  }
  const filler = join(folder, 'filler')
  // Lazily: whoever still has a file open keeps it until the process ends.
  const unmount = (): void => run('umount', '-l', folder)
  process.once('exit', unmount)
  return {
    missing: '',
    fill: () => writeUntilFull(filler),
    clear: () => rmSync(filler, { force: true }),
    remove() {
      process.off('exit', unmount)
      unmount()
    },
  }
}

function writeUntilFull(file: string): void {
  const fd = openSync(file, 'w')
  try {
    for (let size = CHUNK.length; size > 0; ) {
      try {
        writeSync(fd, CHUNK, 0, size)
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
        size >>= 1
      }
    }
  } finally {
    closeSync(fd)
  }
}
