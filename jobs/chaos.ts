import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Command, Option } from 'commander'
import { integerBetween } from './args.ts'
import { runChaos, wordsOf } from './chaos/run.ts'
import { type ChaosPlan, longPlan, shortPlan } from './chaos/schedule.ts'
import { type ExitCode, reportError } from './errors-exit.ts'
import { signalled } from './signals.ts'

interface ChaosArgs {
  readonly short: boolean
  readonly long: boolean
  readonly kills: number
  readonly seed?: number
  readonly json: boolean
  readonly keep: boolean
}

const LARGEST_SEED = 2 ** 32 - 1

const parseArgs = (args: readonly string[]): ChaosArgs =>
  new Command('npm run chaos --')
    .description(
      'Kills worker processes, ClickHouse and Kafka under load (kill -9), starts them again, and accounts for every record.',
    )
    .addOption(new Option('--short', 'one worker, about a minute (default)').conflicts('long').default(false))
    .option('--long', 'two workers, 200 kills, and workers that stand still and wake up as zombies', false)
    .option('--kills <n>', 'kills of a long run', integerBetween(1, 100_000), 200)
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
  $ npm run chaos -- --long --seed 7`,
    )
    .exitOverride()
    .parse([...args], { from: 'user' })
    .opts<ChaosArgs>()

async function main(): Promise<ExitCode> {
  const args = parseArgs(process.argv.slice(2))
  const seed = args.seed ?? Math.floor(Math.random() * LARGEST_SEED)
  const plan: ChaosPlan = args.long ? longPlan(seed, args.kills) : shortPlan(seed)
  const dataDir = await mkdtemp(join(tmpdir(), 'forestall-chaos-'))
  const signals = signalled()
  const startedMs = performance.now()
  const say = (text: string): void => {
    const atS = ((performance.now() - startedMs) / 1000).toFixed(1).padStart(7)
    if (!args.json) process.stderr.write(`${atS} s  ${text}\n`)
  }
  say(`seed ${seed}: ${plan.faults.length} faults in ${Math.round(plan.loadMs / 1000)} s of load`)
  let sound = false
  try {
    const partsDir = resolve('.forestall', 'parts')
    const result = await runChaos({ plan, dataDir, partsDir, stopped: signals.stopped, onEvent: say })
    sound = result.sound
    if (!sound) explain(plan, result.details)
    process.stdout.write(`${JSON.stringify(result)}\n`)
    return sound ? 0 : 1
  } catch (error) {
    explain(plan, [])
    throw error
  } finally {
    signals.release()
    if (sound && !args.keep) await rm(dataDir, { recursive: true, force: true })
    else process.stderr.write(`data and logs: ${dataDir}\n`)
  }
}

/** What is needed to run it again. */
function explain(plan: ChaosPlan, details: readonly string[]): void {
  const lines = [...details, `seed ${plan.seed}, schedule:`, ...plan.faults.map((f) => `  ${wordsOf(f)}`)]
  process.stderr.write(`${lines.join('\n')}\n`)
}

try {
  process.exitCode = await main()
} catch (error) {
  process.exitCode = reportError(error, true)
}
