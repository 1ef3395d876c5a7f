import { execFileSync } from 'node:child_process'

/**
 * Why the disk of a process cannot be filled here; '' if it can. `prlimit` (util-linux) bounds the size of files
 * that a running process may write, without root: its writes then fail as on a full disk, with EFBIG for ENOSPC.
 */
export function diskFullMissing(): string {
  if (process.platform !== 'linux') return 'only Linux can bound the files of a running process'
  try {
    execFileSync('prlimit', ['--version'], { stdio: 'ignore' })
    return ''
  } catch {
    return 'the program prlimit (util-linux) is missing'
  }
}

/** From now on no file of this process may grow beyond `bytes`; Infinity: no bound any more. */
export function boundFiles(pid: number, bytes: number): void {
  const soft = bytes === Infinity ? 'unlimited' : String(bytes)
  execFileSync('prlimit', ['--pid', String(pid), `--fsize=${soft}:unlimited`])
}
