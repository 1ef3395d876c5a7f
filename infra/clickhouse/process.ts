import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, fstatSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ForestallError } from '#core/ports'

/** A ClickHouse that was started here. */
export interface ClickHouseProcess {
  /** Base URL of the HTTP interface. */
  readonly url: string
  readonly pid: number
  /** Finishes inserts under way, then ends the process; may be called twice. */
  stop(): Promise<void>
}

/** Settings of `startClickHouse`. */
export interface ClickHouseOptions {
  /** Folder of the data; created if missing. One process at a time. */
  readonly dataDir: string
  /** Default: any free port. */
  readonly port?: number
  readonly logFile: string
  /** Called if the process ends without `stop`. */
  readonly onExit?: (code: number | null, signal: NodeJS.Signals | null) => void
}

const HOST = fileURLToPath(new URL('./host.ts', import.meta.url))
const READY_MS = 60_000
const STOP_MS = 45_000

/**
 * Starts the embedded ClickHouse as a child process on the loopback interface.
 * Throws STACK_FAILED with the end of its log if it does not become ready within a minute, and
 * ALREADY_RUNNING if another process holds the data folder.
 */
export async function startClickHouse(options: ClickHouseOptions): Promise<ClickHouseProcess> {
  const { dataDir, port = 0, logFile, onExit } = options
  mkdirSync(dirname(logFile), { recursive: true })
  const log = openSync(logFile, 'a')
  const logFrom = fstatSync(log).size
  const child = spawn(process.execPath, [HOST, '--data-dir', dataDir, '--port', String(port)], {
    // A group of its own: Ctrl-C in the terminal must reach the parent alone, which then stops it in order.
    detached: true,
    stdio: ['ignore', log, log, 'ipc'],
    env: { ...process.env, UV_THREADPOOL_SIZE: '16', NODE_OPTIONS: '' },
  })
  closeSync(log)
  const exited = once(child, 'exit')
  const url = await ready(child, exited, { logFile, logFrom }).catch(async (error: unknown) => {
    child.kill('SIGKILL')
    throw error
  })
  let stopped = false
  child.once('exit', (code, signal) => {
    if (!stopped) onExit?.(code, signal)
  })
  return {
    url,
    pid: child.pid ?? -1,
    async stop() {
      stopped = true
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      const force = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await exited
      clearTimeout(force)
    },
  }
}

/** A log, and where this process began to write to it. */
interface Log {
  readonly logFile: string
  readonly logFrom: number
}

async function ready(child: ChildProcess, exited: Promise<unknown[]>, log: Log): Promise<string> {
  const timer = Promise.withResolvers<never>()
  const late = setTimeout(() => timer.reject(failed(log, 'was not ready in time')), READY_MS)
  const message = once(child, 'message').then(([m]) => (m as { url: string }).url)
  const ended = exited.then(() => {
    throw failed(log, 'ended while it started')
  })
  // Both settle later than the race that they may lose.
  ended.catch(() => undefined)
  message.catch(() => undefined)
  try {
    return await Promise.race([message, ended, timer.promise])
  } finally {
    clearTimeout(late)
  }
}

function failed({ logFile, logFrom }: Log, what: string): ForestallError {
  const text = readFileSync(logFile).toString('utf8', logFrom)
  // The engine's words; "Failed to create connection" alone may mean damaged data as well.
  if (/Cannot lock file .*already running/.test(text)) {
    return new ForestallError(
      'ALREADY_RUNNING',
      `Another process uses the data folder of ClickHouse (${logFile}).`,
    )
  }
  const said = text.split('\n').filter((line) => line.startsWith('Code: '))
  const lines = said.length > 0 ? said.slice(-3) : text.split('\n').slice(-12)
  return new ForestallError('STACK_FAILED', `ClickHouse ${what}; from ${logFile}:\n${lines.join('\n')}`)
}
