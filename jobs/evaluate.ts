import {
  type EvaluationReport,
  exitStatus,
  renderTable,
  renderVerdict,
  type ReportTable,
} from '#core/evaluation'
import { ForestallError } from '#core/ports'
import { SUBSYSTEMS } from './subsystems.ts'

/** What an evaluation came to. */
export interface Evaluated {
  readonly tables: readonly ReportTable[]
  readonly report: EvaluationReport
  /** Further lines of text, the first of them a heading. */
  readonly notes?: readonly string[]
}

/** How a subsystem is evaluated. */
export interface Evaluation {
  readonly usage: string
  /** Throws CONFIG_INVALID, or what `parseArgs` throws, for arguments that cannot be. `log` is told what it does. */
  run(args: readonly string[], log: (line: string) => void): Evaluated | Promise<Evaluated>
}

function entryOf(name: string | undefined) {
  const entry = SUBSYSTEMS.find((subsystem) => subsystem.name === name)
  if (entry !== undefined) return entry
  throw new ForestallError('CONFIG_INVALID', `subsystem = ${name ?? ''}`, {
    cure: `Name ${SUBSYSTEMS.map((subsystem) => subsystem.name).join(' or ')}.`,
  })
}

/** `forestall evaluate …`: exit code 0 = sound, 1 = a check value was not reproduced, 2 = bad arguments or data. */
export async function runEvaluate(args: readonly string[]): Promise<0 | 1 | 2> {
  let usage = 'usage: forestall evaluate <subsystem> [options] [--json]'
  try {
    const began = performance.now()
    const log = (line: string) =>
      process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}\n`)
    const evaluation = await entryOf(args[0]).evaluation()
    usage = evaluation.usage
    const {
      tables,
      report,
      notes = [],
    } = await evaluation.run(
      args.slice(1).filter((arg) => arg !== '--json'),
      log,
    )
    for (const table of tables) process.stdout.write(`${renderTable(table)}\n\n`)
    process.stdout.write(`${renderVerdict(report)}\n`)
    for (const note of notes) process.stdout.write(`${note}\n`)
    if (args.includes('--json')) process.stdout.write(`${JSON.stringify(report)}\n`)
    return exitStatus(report)
  } catch (error) {
    const isOurs = error instanceof ForestallError
    const isArgument =
      error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
    if (!isOurs && !isArgument) throw error
    process.stderr.write(`${error.message}\n${isOurs ? `${error.cure}\n` : ''}${usage}\n`)
    return 2
  }
}

if (import.meta.main) process.exitCode = await runEvaluate(process.argv.slice(2))
