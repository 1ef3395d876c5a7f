import { spawn } from 'node:child_process'
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { ForestallError, type ErrorCode } from '#core/ports'

/** Programs the embedded stack calls, and how a user gets each one. */
const CURES = {
  java: 'Install Java 17 or later (Debian: apt-get install openjdk-17-jre-headless; macOS: brew install openjdk@17), or set JAVA_HOME.',
  mvn: 'Install Maven 3.8 or later (Debian: apt-get install maven; macOS: brew install maven), or set KAFKA_BROKERS to a Kafka of your own.',
} as const

/** A program the embedded stack can call. */
export type ProgramName = keyof typeof CURES

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}

/** The path of a program on PATH, or undefined. */
export function findOnPath(name: string, path = process.env['PATH'] ?? ''): string | undefined {
  return path
    .split(delimiter)
    .filter(Boolean)
    .map((folder) => join(folder, name))
    .find(isExecutable)
}

/**
 * The path of a program the stack needs (`JAVA_HOME` wins for java).
 * Throws SERVICE_MISSING with the cure.
 */
export function findProgram(name: ProgramName): string {
  const home = process.env['JAVA_HOME']
  const fromHome = name === 'java' && home ? join(home, 'bin', 'java') : undefined
  const path = fromHome && isExecutable(fromHome) ? fromHome : findOnPath(name)
  if (path) return path
  throw new ForestallError('SERVICE_MISSING', `The program "${name}" was not found.`, { cure: CURES[name] })
}

/** The last lines of a program's output, for an error message. */
export const lastLines = (text: string, count = 8): string =>
  text.trimEnd().split('\n').slice(-count).join('\n')

interface RunOptions {
  /** For the message: "Fetching Apache Kafka". */
  what: string
  cwd?: string
  signal?: AbortSignal | undefined
  /** What its failure means. Default STACK_FAILED. */
  code?: ErrorCode
  cure?: string
}

/**
 * Runs a program to its end and returns what it wrote to both outputs.
 * Throws `code` with `what` and its last lines if it fails.
 */
export async function runProgram(
  command: string,
  args: readonly string[],
  options: RunOptions,
): Promise<string> {
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal ? { signal: options.signal } : {}),
  })
  let output = ''
  const collect = (chunk: Buffer): void => {
    output = (output + chunk.toString()).slice(-64_000)
  }
  child.stdout.on('data', collect)
  child.stderr.on('data', collect)
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', resolve)
  })
  if (code === 0) return output
  const message = `${options.what} failed (exit code ${code}):\n${lastLines(output)}`
  throw new ForestallError(
    options.code ?? 'STACK_FAILED',
    message,
    options.cure === undefined ? {} : { cure: options.cure },
  )
}
