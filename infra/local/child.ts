import { spawn, spawnSync, type ChildProcess } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { ForestallError } from '#core/ports'
import { findOnPath, lastLines } from './programs.ts'

/** What to run as a child process. */
export interface ChildOptions {
  /** For messages: "Kafka". */
  name: string
  command: string
  args: readonly string[]
  cwd: string
  logFile: string
  /** The child is ready once its log holds this text. */
  readyText: string
  readyTimeoutMs: number
  /** How long `stop` waits after SIGTERM before SIGKILL. */
  stopTimeoutMs: number
  /** Ends a start that is under way. */
  signal?: AbortSignal | undefined
}

/** A running child process. */
export interface Child {
  readonly pid: number
  readonly logFile: string
  /** Settles when the process has ended, with words on how. */
  readonly exited: Promise<string>
  /** SIGTERM, and SIGKILL if that does not end it in time. Tolerates a child that has ended. */
  stop(): Promise<void>
  /** SIGKILL, as a crash would. */
  kill9(): Promise<void>
}

const LOG_MAX_BYTES = 1_000_000
const POLL_MS = 20

let deathSignalPrefix: readonly string[] | undefined

/**
 * On Linux, `setpriv --pdeathsig` (util-linux) makes the kernel end a child with its parent, even after
 * `kill -9`; it then becomes the program itself, so the pid stays. Elsewhere the supervisor finds orphans
 * at the next start.
 */
function withDeathSignal(command: string, args: readonly string[]): [string, readonly string[]] {
  if (deathSignalPrefix === undefined) {
    const setpriv = process.platform === 'linux' ? findOnPath('setpriv') : undefined
    const help = setpriv ? spawnSync(setpriv, ['--help'], { encoding: 'utf8' }).stdout : ''
    deathSignalPrefix = setpriv && help.includes('--pdeathsig') ? [setpriv, '--pdeathsig', 'TERM', '--'] : []
  }
  const [first, ...rest] = [...deathSignalPrefix, command, ...args]
  return [first ?? command, rest]
}

function openLog(logFile: string): { fd: number; startBytes: number } {
  mkdirSync(dirname(logFile), { recursive: true })
  if (existsSync(logFile) && statSync(logFile).size > LOG_MAX_BYTES) renameSync(logFile, `${logFile}.1`)
  const fd = openSync(logFile, 'a+')
  return { fd, startBytes: statSync(logFile).size }
}

function readLog(logFile: string, fromBytes: number): string {
  const fd = openSync(logFile, 'r')
  try {
    const bytes = Buffer.alloc(Math.max(0, statSync(logFile).size - fromBytes))
    const count = readSync(fd, bytes, 0, bytes.length, fromBytes)
    return bytes.toString('utf8', 0, count)
  } finally {
    closeSync(fd)
  }
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal === null ? `exit code ${code}` : `signal ${signal}`))
  })
}

function controls(child: ChildProcess, pid: number, exited: Promise<string>, options: ChildOptions): Child {
  const signal = async (name: NodeJS.Signals): Promise<void> => {
    child.kill(name)
    const timer = setTimeout(() => child.kill('SIGKILL'), options.stopTimeoutMs)
    await exited
    clearTimeout(timer)
  }
  return {
    pid,
    logFile: options.logFile,
    exited,
    stop: () => signal('SIGTERM'),
    kill9: () => signal('SIGKILL'),
  }
}

/**
 * Starts a child in a process group of its own (a Ctrl-C in the terminal must reach only the parent, which
 * stops its parts in order), with its output in the log file. `onSpawn` runs before it is waited for.
 * Throws STACK_FAILED with the last lines of the log if it ends, or is not ready in time.
 */
export async function startChild(options: ChildOptions, onSpawn?: (pid: number) => void): Promise<Child> {
  const { name, logFile } = options
  const log = openLog(logFile)
  const [command, args] = withDeathSignal(options.command, options.args)
  const process_ = spawn(command, args, {
    cwd: options.cwd,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  })
  closeSync(log.fd)
  let ended: string | undefined
  const exited = exitOf(process_)
  void exited.then((how) => (ended = how))
  const child = controls(process_, process_.pid ?? -1, exited, options)
  if (process_.pid !== undefined) onSpawn?.(process_.pid)
  const deadline = Date.now() + options.readyTimeoutMs
  while (!readLog(logFile, log.startBytes).includes(options.readyText)) {
    const failed =
      ended ?? (Date.now() > deadline ? `not ready within ${options.readyTimeoutMs} ms` : undefined)
    if (failed !== undefined) {
      await child.kill9()
      const tail = lastLines(readLog(logFile, log.startBytes))
      throw new ForestallError('STACK_FAILED', `${name} did not start (${failed}). Log: ${logFile}\n${tail}`)
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  return child
}
