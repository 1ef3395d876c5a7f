import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Command, InvalidArgumentError, Option } from 'commander'
import { integerBetween } from './args.ts'
import { longPlan, shortPlan } from './chaos/plans.ts'
import { runChaos } from './chaos/run.ts'
import { type ChaosPlan, killsOf } from './chaos/schedule.ts'
import { planInWords } from './chaos/words.ts'
import { type ExitCode, reportError } from './errors-exit.ts'
import { signalled } from './signals.ts'

interface ChaosArgs {
  readonly short: boolean
  readonly long: boolean
  readonly kills: number
  readonly brokers: 1 | 3
  readonly seed?: number
  readonly json: boolean
  readonly keep: boolean
}

const LARGEST_SEED = 2 ** 32 - 1

const parseArgs = (args: readonly string[]): ChaosArgs =>
  new Command('npm run chaos --')
    .description(
      'Kills workers, brokers and ClickHouse under load (kill -9), stops them, fills disks and spoils networks, and accounts for every record.',
    )
    .addOption(
      new Option('--short', 'every kind of fault, about a minute (default)').conflicts('long').default(false),
    )
    .option('--long', '200 kills on two workers, with zombies and outages of up to a minute', false)
    .option('--kills <n>', 'kills of a long run', integerBetween(1, 100_000), 200)
    .addOption(
      new Option('--brokers <n>', 'Kafka brokers, 1 or 3').default(1).argParser((text) => brokersOf(text)),
    )
    .option(
      '--seed <n>',
      'of schedule and load (default: drawn, and printed)',
      integerBetween(0, LARGEST_SEED),
    )
    .option('--json', 'only the last line: one JSON object', false)
    .option('--keep', 'keep the folder with data and logs', false)
    .addHelpText(
      'after',
      `
Exit status: 0 nothing lost, duplicated or wrong; 1 otherwise; 2 bad arguments.

Examples:
  $ npm run chaos -- --short
  $ npm run chaos -- --long --brokers 3 --seed 7`,
    )
    .exitOverride()
    .parse([...args], { from: 'user' })
    .opts<ChaosArgs>()

function brokersOf(text: string): 1 | 3 {
  if (text === '1') return 1
  if (text === '3') return 3
  throw new InvalidArgumentError('It must be 1 or 3.')
}

async function main(): Promise<ExitCode> {
  const args = parseArgs(process.argv.slice(2))
  const seed = args.seed ?? Math.floor(Math.random() * LARGEST_SEED)
  const { brokers, kills } = args
  const plan: ChaosPlan = args.long ? longPlan({ seed, brokers, kills }) : shortPlan({ seed, brokers })
  const command = `npm run chaos -- ${args.long ? `--long --kills ${kills}` : '--short'} --brokers ${brokers} --seed ${seed}`
  const dataDir = await mkdtemp(join(tmpdir(), 'forestall-chaos-'))
  const signals = signalled()
  const startedMs = performance.now()
  const say = (text: string): void => {
    const atS = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(7)
    if (!args.json) process.stderr.write(`${atS} s  ${text}\n`)
  }
  const faults = plan.lanes.reduce((sum, lane) => sum + lane.faults.length, 0)
  say(`seed ${seed}: ${faults} faults, ${killsOf(plan)} of them kills, on ${brokers} broker(s)`)
  let sound = false
  try {
    const partsDir = resolve('.forestall', 'parts')
    const result = await runChaos({ plan, dataDir, partsDir, stopped: signals.stopped, onEvent: say })
    sound = result.sound
    if (!sound) explain(plan, command, result.details)
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return sound ? 0 : 1
  } catch (error) {
    explain(plan, command, [])
    throw error
  } finally {
    signals.release()
    if (sound && !args.keep) await rm(dataDir, { recursive: true, force: true })
    else process.stderr.write(`data and logs: ${dataDir}\n`)
  }
}

/** What went wrong, and what is needed to run it again. */
function explain(plan: ChaosPlan, command: string, details: readonly string[]): void {
  const schedule = [`schedule of seed ${plan.seed}:`, ...planInWords(plan)]
  process.stderr.write(`${[...schedule, ...details, `again: ${command}`].join('\n')}\n`)
}

try {
  process.exitCode = await main()
} catch (error) {
  process.exitCode = reportError(error, true)
}
