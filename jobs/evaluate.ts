import {
  type EvaluationReport,
  exitStatus,
  renderTable,
  renderVerdict,
  type ReportTable,
} from '#core/evaluation'
import { ForestallError } from '#core/ports'
import { errorLines } from './errors-exit.ts'
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

const NAMES = SUBSYSTEMS.map(({ name }) => name).join(' or ')
const HELP = ['--help', '-h']

function entryOf(name: string | undefined) {
  const entry = SUBSYSTEMS.find((subsystem) => subsystem.name === name)
  if (entry !== undefined) return entry
  throw new ForestallError(
    'CONFIG_INVALID',
    name === undefined || name.startsWith('-') ? 'no subsystem is named' : `there is no subsystem ${name}`,
    { cure: `Name ${NAMES} first: forestall evaluate SUBSYSTEM --help.` },
  )
}

/** An error that the arguments or the data caused; anything else is thrown on. */
function refusal(error: unknown, name: string | undefined): ForestallError {
  if (error instanceof ForestallError) return error
  if (!(error instanceof TypeError && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')))
    throw error
  return new ForestallError('CONFIG_INVALID', error.message.split('\n')[0] ?? '', {
    cure: `See \`npm run forestall -- evaluate ${name} --help\`.`,
    cause: error,
  })
}

function print({ tables, report, notes = [] }: Evaluated, isJson: boolean): void {
  for (const table of tables) process.stdout.write(`${renderTable(table)}\n\n`)
  process.stdout.write(`${renderVerdict(report)}\n`)
  for (const note of notes) process.stdout.write(`${note}\n`)
  if (isJson) process.stdout.write(`${JSON.stringify(report)}\n`)
}

/** `forestall evaluate …`: exit code 0 = sound, 1 = a check value was not reproduced, 2 = bad arguments or data. */
export async function runEvaluate(args: readonly string[]): Promise<0 | 1 | 2> {
  const [name, ...rest] = args
  try {
    const evaluation = await entryOf(name).evaluation()
    if (rest.some((arg) => HELP.includes(arg))) {
      process.stdout.write(`${evaluation.usage}\n`)
      return 0
    }
    const began = performance.now()
    const log = (line: string) =>
      process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${line}\n`)
    const evaluated = await evaluation.run(
      rest.filter((arg) => arg !== '--json'),
      log,
    )
    print(evaluated, args.includes('--json'))
    return exitStatus(evaluated.report)
  } catch (error) {
    process.stderr.write(`${errorLines(refusal(error, name)).join('\n')}\n`)
    return 2
  }
}

if (import.meta.main) process.exitCode = await runEvaluate(process.argv.slice(2))
