import { CommanderError } from 'commander'
import { ForestallError } from '#core/ports'

/** Exit status of every command: 0 sound, 1 failed, 2 bad arguments or configuration. */
export type ExitCode = 0 | 1 | 2

/** The lines of an error for people: code and message, the cure, and with `verbose` where it came from. */
export function errorLines(error: unknown, verbose = false): string[] {
  const lines =
    error instanceof ForestallError
      ? [`${error.code}: ${error.message}`, `cure: ${error.cure}`]
      : [
          `UNEXPECTED: ${error instanceof Error ? error.message : String(error)}`,
          'cure: Run it again with --verbose and report what it prints.',
        ]
  return verbose ? [...lines, ...stackLines(error)] : lines
}

function stackLines(error: unknown): string[] {
  const lines: string[] = []
  for (let at = error; at instanceof Error; at = at.cause) {
    lines.push(`${lines.length === 0 ? '' : 'caused by '}${at.stack ?? at.message}`)
  }
  return lines
}

/** Prints an error to standard error and says how the process ends. What commander refused is printed already. */
export function reportError(error: unknown, verbose = false): ExitCode {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  process.stderr.write(`${errorLines(error, verbose).join('\n')}\n`)
  return error instanceof ForestallError && error.code === 'CONFIG_INVALID' ? 2 : 1
}
