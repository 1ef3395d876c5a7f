import { resolve } from 'node:path'
import type { Command } from 'commander'
import { integerBetween, parseDuration, parseName } from './args.ts'
import { dataDirOption, durationOption, type Finish } from './commands-run.ts'
import type { ImportQueriesArgs } from './import-queries.ts'
import { parseScaleCommand } from './scale-command.ts'
import type { ScalerArgs } from './scaler.ts'

const PORT = integerBetween(0, 65_535)
const REPLAY_ID = 'of this replay (latest: the newest run of up) instead of live'

function addImportQueries(program: Command, finish: Finish): void {
  program
    .command('import-queries')
    .description(
      'turn the query log of a ClickHouse server, or a JSON or CSV log, into logs.queries, each query once',
    )
    .option('--file <path>', 'a log that is a file: .jsonl or .csv, with .gz or without', (p: string) =>
      resolve(p),
    )
    .option('--server <url>', 'server whose log is read (default: CLICKHOUSE_URL)')
    .option('--table <name>', 'table of the log', 'system.query_log')
    .option('--source <name>', 'keeps the place in the log (default: host, or name of the file)', parseName)
    .option('--rules <file>', 'JSON: what names service, entity and operation', (p: string) => resolve(p))
    .addOption(durationOption('--every <duration>', 'pause at the end of the log', '5s'))
    .addOption(durationOption('--settle <duration>', 'age at which rows are complete', '15s'))
    .option('--replay-id <name>', `write to the topics ${REPLAY_ID}`, parseName, '')
    .option('--for <duration>', 'stop after this time', parseDuration)
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
Without --rules, log_comment holds {"service": …, "entity": …, "operation": …}. A rule names where each comes from:
[{"table": "orders", "service": [{"value": "orders"}], "entity": [{"where": "customer"}],
  "operation": [{"field": "normalized_query_hash"}], "work": "read_bytes"}]

Environment: QUERY_LOG_USER and QUERY_LOG_PASSWORD for --server.

Examples:
  $ npm run forestall -- import-queries --server http://clickhouse-1:8123 --rules rules.json
  $ npm run forestall -- import-queries --file queries.jsonl.gz --rules rules.json --json`,
    )
    .action(async (_: unknown, command: Command) => {
      const {
        file = null,
        server = null,
        source = null,
        rules: rulesFile = null,
        ...more
      } = command.optsWithGlobals()
      const { every: everyMs, settle: settleMs, for: forMs = null, ...rest } = more
      const { runImportQueries } = await import('./import-queries.ts')
      const args = { ...rest, file, server, source, rulesFile, everyMs, settleMs, forMs }
      finish(await runImportQueries(args as unknown as ImportQueriesArgs))
    })
}

function addScaler(program: Command, finish: Finish): void {
  program
    .command('scaler')
    .description('answer KEDA (external scaler, gRPC) with the instance counts that were decided')
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <n>', '0 takes a free one', PORT, 6000)
    .option(
      '--on-scale <command>',
      'run this too whenever the count of a service changes: {service}, {instances}, {before} are filled in',
      parseScaleCommand,
    )
    .option('--replay-id <name>', `decisions ${REPLAY_ID} ones`, parseName, '')
    .option('--metrics <port>', 'serve /metrics in the Prometheus format; 0 takes a free port', PORT)
    .option('--metrics-host <address>', 'where /metrics listens', '127.0.0.1')
    .option('--for <duration>', 'stop after this time', parseDuration)
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
In the ScaledObject: triggers: [{type: external-push, metadata: {scalerAddress: host:6000, service: orders}}].
Further metadata: metric (instances, load_q50, load_q90, load_q99) and targetPerReplica for loads.

Examples:
  $ npm run forestall -- scaler
  $ npm run forestall -- scaler --host 0.0.0.0 --port 6000
  $ npm run forestall -- scaler --on-scale './scale.sh {service} {instances}'`,
    )
    .action(async (_: unknown, command: Command) => {
      const {
        for: forMs = null,
        onScale = null,
        metrics: metricsPort = null,
        ...rest
      } = command.optsWithGlobals()
      const { runScaler } = await import('./scaler.ts')
      finish(await runScaler({ ...rest, forMs, onScale, metricsPort } as unknown as ScalerArgs))
    })
}

/** Commands of data-sharding beside its pipelines. */
export function addDataCommands(program: Command, finish: Finish): void {
  addImportQueries(program, finish)
  addScaler(program, finish)
}
