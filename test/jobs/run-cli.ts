import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))

/** How a command ended. */
export interface CliResult {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `forestall` with these arguments, from the root of the repository, and without variables that name parts. */
export async function runCli(args: readonly string[], env: Record<string, string> = {}): Promise<CliResult> {
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(KAFKA|CLICKHOUSE|SCHEMA_REGISTRY)_/.test(name),
  )
  const child = spawn(process.execPath, ['jobs/forestall.ts', ...args], {
    cwd: ROOT,
    env: { ...Object.fromEntries(own), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  const [code] = (await once(child, 'close')) as [number | null]
  return { code, stdout, stderr }
}
