import { resolve } from 'node:path'
import { Argument, type Command, Option } from 'commander'
import {
  integerBetween,
  parseDuration,
  parseName,
  parseSpeed,
  parseSubsystems,
  type ReplayArgs,
  type StreamArgs,
  type UpArgs,
} from './args.ts'
import type { ExitCode } from './errors-exit.ts'
import { retentionOptions } from './retention.ts'
import { DEMO_WORDS, SUBSYSTEMS } from './subsystems.ts'

/** Told how a command ended. */
export type Finish = (code: ExitCode) => void

/** Where the embedded stack keeps everything. */
export const dataDirOption = (): Option =>
  new Option('--data-dir <dir>', 'folder of the embedded stack')
    .argParser((dir) => resolve(dir))
    .default(resolve('.forestall'), '.forestall')

/** A duration whose default stands in the help as one would write it. */
export const durationOption = (flags: string, description: string, byDefault: string): Option =>
  new Option(flags, description).argParser(parseDuration).default(parseDuration(byDefault), byDefault)

const windowOption = (): Option =>
  new Option('--window <duration>', 'length of a feature window').argParser(parseDuration).default(1000, '1s')

const speedOption = (): Option =>
  new Option('--speed <factor>', 'event time per time on the clock; max: as fast as it goes').argParser(
    parseSpeed,
  )

const DEMO_WINDOW_MS = 1000
const DATA_WINDOW_MS = 300_000
const PORTS = integerBetween(0, 65_535)
const SEEDS = integerBetween(0, 2 ** 32 - 1)
const STREAMS = integerBetween(1, 100_000)

function addUp(program: Command, finish: Finish): void {
  program
    .command('up')
    .description(
      'start everything: Kafka, ClickHouse, registry, pipelines, a data plane under live load, a dashboard',
    )
    .option('--headless', 'no dashboard; ends with a summary', false)
    .option('--for <duration>', 'stop after this time, such as 60s', parseDuration)
    .option('--data <dir>', 'play recorded traffic instead of generated traffic', (dir: string) =>
      resolve(dir),
    )
    .addOption(speedOption().default(1, '1'))
    .option('--port <n>', 'port of the dashboard', PORTS, 8700)
    .addOption(dataDirOption())
    .option('--seed <n>', 'of everything random', SEEDS, 1)
    .addOption(
      new Option(
        '--window <duration>',
        'length of a feature window (default: 1s, or 5m with --data)',
      ).argParser(parseDuration),
    )
    .option('--streams <n>', 'streams of the generator', STREAMS, 12)
    .option('--no-web', 'without the dashboard')
    .option(
      '--subsystems <list>',
      `${DEMO_WORDS.join(',')} (default) or ${DEMO_WORDS[0]}: ${SUBSYSTEMS.flatMap(({ word, demo }) => (demo ? [`${word} adds ${demo.adds}`] : [])).join('; ')}`,
      (list: string) => parseSubsystems(DEMO_WORDS, list),
    )
    .addHelpText(
      'after',
      `
Parts that the environment names (KAFKA_BROKERS, CLICKHOUSE_URL, SCHEMA_REGISTRY_URL) are used, the others started.

Examples:
  $ npm start
  $ npm run forestall -- up --headless --for 60s --json
  $ npm run forestall -- up --data recorded/abilene --speed 300`,
    )
    .action(async (_: unknown, command: Command) => {
      const { for: forMs = null, data = null, window, ...rest } = command.optsWithGlobals()
      const { runUp } = await import('./up.ts')
      // A recorded week has rows of five minutes, a generated day takes one.
      const windowMs = window ?? (data === null ? DEMO_WINDOW_MS : DATA_WINDOW_MS)
      finish((await runUp({ ...rest, forMs, data, windowMs } as UpArgs)) as ExitCode)
    })
}

function addStream(program: Command, finish: Finish): void {
  const stream = program
    .command('stream')
    .addArgument(
      new Argument('[subsystem]', 'which pipelines')
        .choices(SUBSYSTEMS.map(({ name }) => name))
        .default(SUBSYSTEMS[0]?.name),
    )
    .description('run pipelines on your own Kafka; start it more often, on more machines, to scale')
    .addOption(
      new Option('--topology <name>', 'part that this process runs')
        .choices(['features', 'forecasts', 'decisions', 'all'] satisfies StreamArgs['topology'][])
        .default('all'),
    )
    .option('--slot <name>', 'stable name of this process among those of the same topology', parseName, '0')
    .option('--prefix <text>', 'prefix of all topics and groups', parseName)
    .option('--metrics <port>', 'serve /metrics in the Prometheus format; 0 takes a free port', PORTS)
    .option('--metrics-host <address>', 'where /metrics listens', '127.0.0.1')
    .addOption(
      new Option(
        '--window <duration>',
        `length of a feature window (default: ${SUBSYSTEMS.map(({ name, windowMs }) => `${name} ${windowMs / 1000}s`).join(', ')})`,
      ).argParser(parseDuration),
    )
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Kafka, ClickHouse and registry come from the environment, or from a stack that runs on --data-dir.

Examples:
  $ export KAFKA_BROKERS=kafka-1:9092,kafka-2:9092 SCHEMA_REGISTRY_URL=http://registry:8081 CLICKHOUSE_URL=http://ch:8123
  $ npm run forestall -- stream traffic-routing --network network.json --topology features --slot a
  $ npm run forestall -- stream traffic-routing --network network.json --topology decisions --slot a
  $ npm run forestall -- stream data-sharding --services services.json`,
    )
    .action(async (subsystem: string, _: unknown, command: Command) => {
      const {
        prefix = '',
        window: windowMs = null,
        metrics: metricsPort = null,
        ...rest
      } = command.optsWithGlobals()
      const files = Object.fromEntries(SUBSYSTEMS.map(({ fileOption }) => [fileOption, rest[fileOption]]))
      const { runStream } = await import('./stream.ts')
      const args = { ...rest, subsystem, prefix, windowMs, metricsPort, files }
      finish((await runStream(args as StreamArgs)) as ExitCode)
    })
  for (const option of retentionOptions()) stream.addOption(option)
  for (const { name, fileOption, fileHolds } of SUBSYSTEMS)
    stream.option(`--${fileOption} <file>`, `${name}: ${fileHolds}`, (file: string) => resolve(file))
}

function addReplay(program: Command, finish: Finish): void {
  program
    .command('replay')
    .description(
      'play recorded traffic through the pipelines, in topics of its own that live followers refuse',
    )
    .requiredOption('--data <dir>', 'folder with od_traffic.csv.gz', (dir: string) => resolve(dir))
    .addOption(speedOption().default(Number.POSITIVE_INFINITY, 'max'))
    .option('--replay-id <name>', 'names the replay; its topics begin with <name>.', parseName, 'replay')
    .addOption(windowOption().default(300_000, '5m'))
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Examples:
  $ npm run forestall -- replay --data recorded/abilene --speed max
  $ npm run forestall -- replay --data recorded/abilene --speed 600 --replay-id monday`,
    )
    .action(async (_: unknown, command: Command) => {
      const { window: windowMs, ...rest } = command.optsWithGlobals()
      const { runReplay } = await import('./replay.ts')
      finish((await runReplay({ ...rest, windowMs } as ReplayArgs)) as ExitCode)
    })
}

function addEvaluate(program: Command, finish: Finish): void {
  program
    .command('evaluate')
    .argument('[subsystem]', `what to evaluate: ${SUBSYSTEMS.map(({ name }) => name).join(' or ')}`)
    .argument('[options...]', 'those of the subsystem: `evaluate <subsystem> --help` lists them')
    .description('would it have helped? The same policies on recorded data, beside static and reactive plans')
    .allowUnknownOption()
    // Each subsystem has options, and so a help, of its own.
    .helpOption(false)
    .usage('<subsystem> [options] [--json]')
    .addHelpText(
      'after',
      `
Examples:
  $ npm run forestall -- evaluate traffic-routing --help
  $ npm run forestall -- evaluate data-sharding --help
  $ npm run forestall -- evaluate traffic-routing --data recorded/abilene --quick
  $ npm run forestall -- evaluate traffic-routing --data history/october --next history/november --json
  $ npm run forestall -- evaluate data-sharding --generator --alpha 1.1 --replicas 1.1`,
    )
    .action(async (..._: unknown[]) => {
      const command = _.at(-1) as Command
      const { json } = command.optsWithGlobals<{ json: boolean }>()
      if (['--help', '-h'].includes(command.args[0] ?? '')) {
        command.outputHelp()
        const all = await Promise.all(SUBSYSTEMS.map((it) => it.evaluation()))
        for (const { usage } of all) process.stdout.write(`\n${usage}\n`)
        return
      }
      const { runEvaluate } = await import('./evaluate.ts')
      finish(await runEvaluate([...command.args, ...(json ? ['--json'] : [])]))
    })
}

/** The commands that run pipelines. */
export function addRunCommands(program: Command, finish: Finish): void {
  addUp(program, finish)
  addStream(program, finish)
  addReplay(program, finish)
  addEvaluate(program, finish)
}
