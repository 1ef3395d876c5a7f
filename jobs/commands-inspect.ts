import { resolve } from 'node:path'
import type { Command } from 'commander'
import { ForestallError } from '#core/ports'
import { integerBetween, parseDuration, parseName, parseSince } from './args.ts'
import { dataDirOption, type Finish } from './commands-run.ts'
import type { BridgeArgs } from './bridge.ts'
import type { DlqListArgs, DlqReplayArgs } from './dlq.ts'
import type { DoctorArgs } from './doctor.ts'
import type { ExplainArgs } from './explain.ts'
import type { FollowArgs } from './follow.ts'

const REPLAY_ID = 'of this replay (latest: the newest run of up) instead of live'
const LIMITS = integerBetween(1, 100_000)
const PORTS = integerBetween(0, 65_535)

function targetOf(options: { haproxy?: string; table?: true; print?: true }): FollowArgs['target'] {
  const named = (['haproxy', 'table', 'print'] as const).filter((name) => options[name] !== undefined)
  const [target] = named
  if (target !== undefined && named.length === 1) return target
  throw new ForestallError(
    'CONFIG_INVALID',
    `follow got ${named.length} of --haproxy, --table and --print.`,
    {
      cure: 'Name exactly one of them.',
    },
  )
}

function addFollow(program: Command, finish: Finish): void {
  program
    .command('follow')
    .description('put route decisions into force at a data plane and acknowledge them')
    .option('--haproxy <socket>', 'stats socket (level admin) of the HAProxy to steer', (path: string) =>
      resolve(path),
    )
    .option('--table', 'keep a route table in this process, as an application with the SDK does')
    .option('--print', 'only print decisions; acknowledges nothing')
    .option(
      '--map <file>',
      'JSON: {"backends": {stream: backend}, "servers": {region: server}, "addresses": {…}}',
    )
    .option('--topic <name>', 'decision topic', 'decisions.traffic.routes')
    .option('--id <name>', 'who acknowledges (default: host name and target)')
    .option('--snapshot <file>', 'keeps what stands, to restart without Kafka', (path: string) =>
      resolve(path),
    )
    .option('--replay-id <name>', `take decisions ${REPLAY_ID} ones`, parseName, '')
    .option('--metrics <port>', 'serve /metrics in the Prometheus format; 0 takes a free port', PORTS)
    .option('--metrics-host <address>', 'where /metrics listens', '127.0.0.1')
    .option('--for <duration>', 'stop after this time', parseDuration)
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Without --map, the backend has the name of the stream and the server that of the region; what HAProxy does not allow
in names becomes _.

Examples:
  $ npm run forestall -- follow --print --replay-id latest
  $ npm run forestall -- follow --table --id edge-1
  $ npm run forestall -- follow --haproxy /run/haproxy/admin.sock --map routes.json --snapshot routes.snapshot`,
    )
    .action(async (_: unknown, command: Command) => {
      const options = command.optsWithGlobals()
      const { haproxy: socket, map: mapFile, snapshot: snapshotFile, ...others } = options
      const { for: forMs = null, metrics: metricsPort = null, ...rest } = others
      const target = targetOf(options)
      const { runFollow } = await import('./follow.ts')
      const args = { ...rest, target, socket, mapFile, snapshotFile, forMs, metricsPort }
      finish(await runFollow(args as unknown as FollowArgs))
    })
}

function addExplain(program: Command, finish: Finish): void {
  program
    .command('explain')
    .argument('<decision_id>', 'a decision, or an entity: then its newest decision')
    .description(
      'why a decision was taken, what it rests on, what not acting would have cost, what followers did',
    )
    .option('--replay-id <name>', `a decision ${REPLAY_ID}`, parseName, '')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Examples:
  $ npm run forestall -- explain 01J9Z3N5WQ
  $ npm run forestall -- explain 'ATLAng>CHINng' --replay-id latest --json`,
    )
    .action(async (id: string, _: unknown, command: Command) => {
      const { runExplain } = await import('./explain.ts')
      finish(await runExplain({ ...command.optsWithGlobals<Omit<ExplainArgs, 'id'>>(), id }))
    })
}

function addDoctor(program: Command, finish: Finish): void {
  program
    .command('doctor')
    .description(
      'is everything there? Node, Java, Maven, disk, memory, HAProxy, and the parts that the environment names',
    )
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Exit status 1 if something required is missing; each line says how to get it.

Examples:
  $ npm run forestall -- doctor
  $ KAFKA_BROKERS=kafka-1:9092 npm run forestall -- doctor --json`,
    )
    .action(async (_: unknown, command: Command) => {
      const { runDoctor } = await import('./doctor.ts')
      finish(await runDoctor(command.optsWithGlobals<DoctorArgs>()))
    })
}

function addBridge(program: Command, finish: Finish): void {
  program
    .command('bridge')
    .description('turn the topic of a goflow2 collector into telemetry.flows, each message exactly once')
    .requiredOption('--from <topic>', 'topic that goflow2 writes to (protobuf or JSON)')
    .option(
      '--map <file>',
      'JSON: {"regions": [{"prefix": "10.0.0.0/8", "region": "eu"}], "elsewhere": "internet", …}',
    )
    .option('--slot <name>', 'stable name of this process among those of the same topic', parseName, '0')
    .option('--metrics <port>', 'serve /metrics in the Prometheus format; 0 takes a free port', PORTS)
    .option('--metrics-host <address>', 'where /metrics listens', '127.0.0.1')
    .option('--for <duration>', 'stop after this time', parseDuration)
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Messages that cannot be flows go to dlq.<topic>, with their bytes and the reason.

Examples:
  $ npm run forestall -- bridge --from flows --map regions.json
  $ npm run forestall -- bridge --from flows --map regions.json --slot b`,
    )
    .action(async (_: unknown, command: Command) => {
      const {
        map: mapFile,
        for: forMs = null,
        metrics: metricsPort = null,
        ...rest
      } = command.optsWithGlobals()
      const { runBridge } = await import('./bridge.ts')
      finish(await runBridge({ ...rest, mapFile, forMs, metricsPort } as unknown as BridgeArgs))
    })
}

/** Commands for looking and following. */
export function addInspectionCommands(program: Command, finish: Finish): void {
  addBridge(program, finish)
  addFollow(program, finish)
  addExplain(program, finish)
  addDoctor(program, finish)
}

function addDlqReplay(dlq: Command, finish: Finish): void {
  dlq
    .command('replay')
    .description('send the original bytes to the original topic again, each record once')
    .requiredOption('--topic <name>', 'topic that the records came from')
    .option('--since <when>', 'only those refused since: a time, or how long ago (2h)', (text: string) =>
      parseSince(text, Date.now()),
    )
    .option(
      '--code <code>',
      'only this reason; may be repeated',
      (code: string, before: string[]) => [...before, code],
      [],
    )
    .option('--include-late', 'late records too: a running topology will refuse them again', false)
    .option('--yes', 'send; without it, says what would be sent', false)
    .option('--replay-id <name>', `topics ${REPLAY_ID} ones`, parseName, '')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Left out: records sent again before, records too large to have been kept whole, and late ones. Headers of the
original are not kept. Topics that are compacted are refused: an old value would replace a newer one.

Examples:
  $ npm run forestall -- dlq replay --topic telemetry.flows --code RECORD_SCHEMA_UNKNOWN
  $ npm run forestall -- dlq replay --topic telemetry.flows --since 2h --yes --json`,
    )
    .action(async (_: unknown, command: Command) => {
      const { since: sinceMs, code: codes, ...rest } = command.optsWithGlobals()
      const { runDlqReplay } = await import('./dlq.ts')
      finish(await runDlqReplay({ ...rest, sinceMs, codes } as unknown as DlqReplayArgs))
    })
}

/** Commands for records that could not be used. */
export function addDeadLetterCommands(program: Command, finish: Finish): void {
  const dlq = program.command('dlq').description('records that could not be used: see them, send them again')
  dlq
    .command('list')
    .description('dead letters, newest first, and how many there are by topic and reason')
    .option('--topic <name>', 'only those of this topic')
    .option('--limit <n>', 'how many to show', LIMITS, 20)
    .option('--replay-id <name>', `topics ${REPLAY_ID} ones`, parseName, '')
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Examples:
  $ npm run forestall -- dlq list
  $ npm run forestall -- dlq list --topic telemetry.flows --limit 100 --json`,
    )
    .action(async (_: unknown, command: Command) => {
      const { runDlqList } = await import('./dlq.ts')
      finish(await runDlqList(command.optsWithGlobals<DlqListArgs>()))
    })
  addDlqReplay(dlq, finish)
}
