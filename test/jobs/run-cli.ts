import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** How a command ended. */
export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** A command that goes on until it is told to end. */
export interface RunningCli {
  readonly child: ChildProcessByStdio<null, Readable, Readable>
  /** What it has written so far. */
  stdout(): string
  stderr(): string
  /** The first line that it writes to standard output; rejects if it ends before. */
  firstLine(): Promise<string>
  /** Sends a signal and waits for the end: the exit code, or the signal that ended it. */
  end(signal: NodeJS.Signals): Promise<unknown[]>
}

function launch(args: readonly string[], env: Readonly<Record<string, string>>): RunningCli {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(KAFKA|CLICKHOUSE|SCHEMA_REGISTRY)_/.test(name),
  )
  const child = spawn(process.execPath, ['jobs/forestall.ts', ...args], {
    cwd: ROOT,
    env: { ...Object.fromEntries(own), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let [stdout, stderr] = ['', '']
  const said = new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
      if (stdout.includes('\n')) resolve(stdout.slice(0, stdout.indexOf('\n')))
    })
    child.on('exit', () => reject(new Error(`it ended: ${stderr}`)))
  })
  said.catch(() => undefined)
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return {
    child,
    stdout: () => stdout,
    stderr: () => stderr,
    firstLine: () => said,
    async end(signal) {
      const ended = once(child, 'exit')
      child.kill(signal)
      return ended
    },
  }
}

/** Runs `forestall` with these arguments, from the root of the repository, and without variables that name parts. */
export async function runCli(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  const running = launch(args, env)
  const [code] = (await once(running.child, 'close')) as [number | null]
  return { code, stdout: running.stdout(), stderr: running.stderr() }
}

/** Starts it, and kills it if it is still there when the test is over. */
export function startCli(args: readonly string[], env: Readonly<Record<string, string>> = {}): RunningCli {
  const running = launch(args, env)
  const { child } = running
  onTestFinished(async () => {
    if (child.exitCode === null && child.signalCode === null) await running.end('SIGKILL')
  })
  return running
}
