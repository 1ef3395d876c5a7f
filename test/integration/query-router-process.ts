import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** A router as a process of its own. */
export interface Running {
  readonly child: ChildProcess
  readonly url: string
  /** What it wrote to standard error. */
  readonly errors: () => string
}

/** Runs the command until the test is over; resolves once it says where it listens. */
export async function startRouter(file: string, env: Readonly<Record<string, string>>): Promise<Running> {
  const child = spawn(process.execPath, ['jobs/forestall.ts', 'query-router', file, '--json'], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  onTestFinished(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    child.kill('SIGKILL')
    await once(child, 'exit')
  })
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => (errors += text))
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout }), 'line'),
    once(child, 'exit').then(() => Promise.reject(new Error(`it ended: ${errors}`))),
  ])) as [string]
  return { child, url: (JSON.parse(line) as { url: string }).url, errors: () => errors }
}

/** Sends it a signal and waits for its end: the exit code, or the signal that ended it. */
export async function endRouter({ child }: Running, signal: NodeJS.Signals): Promise<unknown[]> {
  const exited = once(child, 'exit')
  child.kill(signal)
  return exited
}
