import { systemClock } from '#core/ports'
import type { StreamArgs } from './args.ts'
import { findConnections } from './connect.ts'
import { readNetworkFile } from './network-file.ts'
import { signalled } from './signals.ts'
import { openTraffic } from './traffic.ts'

const REPORT_EVERY_MS = 5000

/**
 * `forestall stream`: the pipelines of traffic-routing on the user's own parts, until Ctrl-C or SIGTERM. Start it more
 * often, each with a slot of its own, to share the partitions. Returns the exit status.
 */
export async function runStream(args: StreamArgs): Promise<number> {
  const found = findConnections(args.dataDir)
  const config = await readNetworkFile(args.network, args.windowMs)
  const signals = signalled()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => undefined)
  const pipelines = await openTraffic({
    connections: {
      kafka: await found.kafka(),
      clickhouse: await found.clickhouse(),
      registry: await found.registry(),
    },
    config: { ...config, replayId: args.prefix.replace(/\.$/, '') },
    prefix: args.prefix,
    slot: args.slot,
    topologies: args.topology,
    clock: systemClock,
    solver: 'thread',
    needsWarehouse: false,
    onWarning: (error) => process.stderr.write(`warning: ${error.message}\n`),
    onFatal: (error) => failure.reject(error),
  })
  const counters = () =>
    Object.fromEntries([...pipelines.workers].map(([name, worker]) => [name, worker.counters]))
  const timer = setInterval(() => process.stderr.write(`${JSON.stringify(counters())}\n`), REPORT_EVERY_MS)
  try {
    await pipelines.start()
    process.stderr.write(
      `streaming ${args.topology} of ${args.subsystem} as slot ${args.slot}; Ctrl-C stops it\n`,
    )
    await Promise.race([signals.stopped, failure.promise])
    return 0
  } finally {
    clearInterval(timer)
    await pipelines.stop()
    signals.release()
    if (args.json) process.stdout.write(`${JSON.stringify(counters())}\n`)
  }
}
