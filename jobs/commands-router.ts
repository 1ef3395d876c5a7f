import type { Command } from 'commander'
import { integerBetween, parseDuration, parseName } from './args.ts'
import { dataDirOption, type Finish } from './commands-run.ts'
import type { QueryRouterArgs } from './query-router.ts'

const PORTS = integerBetween(0, 65_535)

/** The command that runs a query router. */
export function addRouterCommands(program: Command, finish: Finish): void {
  program
    .command('query-router')
    .argument('<file>', 'JSON file: service, instances, sharded tables, policies')
    .description(
      'a proxy before several ClickHouse servers: queries to the shard they need, inserts through a log',
    )
    .option('--snapshot-file <file>', 'keeps the placement that stands, to restart without Kafka')
    .option(
      '--replay-id <name>',
      'follow the decisions of a replay; latest: of the newest run',
      parseName,
      '',
    )
    .option('--metrics <port>', 'serve /metrics in the Prometheus format; 0 takes a free port', PORTS)
    .option('--metrics-host <address>', 'where /metrics listens', '127.0.0.1')
    .option('--for <duration>', 'stop after this time, such as 60s', parseDuration)
    .addOption(dataDirOption())
    .addHelpText(
      'after',
      `
The fields of the file are in docs/how-to/query-router.md. Kafka and registry come from the environment, or from a
stack that runs on --data-dir. The password of the router's user comes from FORESTALL_ROUTER_PASSWORD.
Several routers of a service may run: one applies its log, the others stand by. SIGHUP reads the instances of the file
again; SIGTERM ends what is under way first.

Examples:
  $ npm run forestall -- query-router orders.json
  $ curl 'http://127.0.0.1:8123/?query=SELECT+1'`,
    )
    .action(async (file: string, _: unknown, command: Command) => {
      const { for: forMs = null, metrics: metricsPort = null, ...rest } = command.optsWithGlobals()
      const { runQueryRouter } = await import('./query-router.ts')
      finish(await runQueryRouter({ ...rest, file, forMs, metricsPort } as QueryRouterArgs))
    })
}
