#!/usr/bin/env node
import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import type { CommonArgs } from './args.ts'
import { addDataCommands } from './commands-data.ts'
import { addForecastCommands } from './commands-forecast.ts'
import { addDeadLetterCommands, addInspectionCommands } from './commands-inspect.ts'
import { addRouterCommands } from './commands-router.ts'
import { addRunCommands } from './commands-run.ts'
import { applyConfig } from './config-file.ts'
import { type ExitCode, reportError } from './errors-exit.ts'

const EXAMPLES = `
Examples:
  $ npm start                                    everything on this machine, with a dashboard
  $ npm run forestall -- doctor                  is everything there?
  $ npm run forestall -- explain 'ATLAng>CHINng' why the newest decision about a stream was taken
  $ npm run forestall -- up --help               options and examples of a command

Environment: KAFKA_BROKERS, KAFKA_TLS, KAFKA_TLS_CA, KAFKA_TLS_CERT, KAFKA_TLS_KEY, KAFKA_SASL_MECHANISM,
KAFKA_SASL_USERNAME, KAFKA_SASL_PASSWORD, CLICKHOUSE_URL, CLICKHOUSE_USER, CLICKHOUSE_PASSWORD, CLICKHOUSE_DATABASE,
SCHEMA_REGISTRY_URL, SCHEMA_REGISTRY_USER, SCHEMA_REGISTRY_PASSWORD. What is not set is embedded.

Exit status: 0 sound, 1 failed, 2 bad arguments or configuration.`

function version(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** What commander says when it refuses arguments, in the form of all errors. */
function usageError(text: string, write: (text: string) => void): void {
  const message = text.trim().replace(/^error: /, '')
  write(`CONFIG_INVALID: ${message}\ncure: See --help of the command.\n`)
}

/** The command line. `finish` is told how a command ended. */
function buildProgram(finish: (code: ExitCode) => void): Command {
  const program = new Command('forestall')
    .description('Predictive control on Kafka: forecast, decide, apply, acknowledge and score in one log.')
    .version(version(), '-V, --version', 'print the version')
    .option('--json', 'print results as JSON; the last line is one object', false)
    .option('--verbose', 'print stack traces with errors', false)
    .option(
      '--config <file>',
      'JSON file with defaults: {"up": {"speed": "60"}, "environment": {"KAFKA_BROKERS": "…"}}',
    )
    .configureHelp({ showGlobalOptions: true, helpWidth: 110 })
    .configureOutput({ outputError: usageError })
    .addHelpText('after', EXAMPLES)
    .exitOverride()
    .hook('preAction', (_, action) => applyConfig(action))
  addRunCommands(program, finish)
  addRouterCommands(program, finish)
  addInspectionCommands(program, finish)
  addDataCommands(program, finish)
  addDeadLetterCommands(program, finish)
  addForecastCommands(program, finish)
  return program
}

/** A reader that has seen enough (`| head`) ends the command; it is no failure. */
function endWithReader(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') throw error
  process.exit(0)
}

/** Runs one command; returns how the process ends. Errors are printed, never thrown. */
export async function main(args: readonly string[]): Promise<ExitCode> {
  process.stdout.on('error', endWithReader)
  let code: ExitCode = 0
  const program = buildProgram((result) => {
    code = result
  })
  try {
    await program.parseAsync([...args], { from: 'user' })
    return code
  } catch (error) {
    return reportError(error, program.opts<CommonArgs>().verbose)
  }
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2))
