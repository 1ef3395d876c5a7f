import { ForestallError, systemClock } from '#core/ports'
import type { Worker } from '#core/runtime'
import type { StreamArgs } from './args.ts'
import { findConnections } from './connect.ts'
import { openData } from './data.ts'
import { readNetworkFile } from './network-file.ts'
import { readServicesFile } from './services-file.ts'
import { signalled } from './signals.ts'
import { openTraffic } from './traffic.ts'

const REPORT_EVERY_MS = 5000

/** What a process of any subsystem runs. */
interface Pipelines {
  readonly workers: ReadonlyMap<string, Worker>
  start(): Promise<void>
  stop(): Promise<void>
}

/** Opens the pipelines of the subsystem. Throws CONFIG_INVALID if the file that says what they are about is missing. */
async function open(args: StreamArgs, onFatal: (error: Error) => void): Promise<Pipelines> {
  const found = findConnections(args.dataDir)
  const { prefix, slot, topology, windowMs } = args
  const replayId = prefix.replace(/\.$/, '')
  const isData = args.subsystem === 'data-sharding'
  const [option, file] = isData ? ['--services', args.services] : ['--network', args.network]
  if (file === undefined)
    throw new ForestallError('CONFIG_INVALID', `stream ${args.subsystem} needs ${option} <file>.`)
  const config = isData
    ? { data: { ...(await readServicesFile(file, windowMs)), replayId } }
    : { traffic: { ...(await readNetworkFile(file, windowMs)), replayId } }
  const shared = {
    connections: {
      kafka: await found.kafka(),
      clickhouse: await found.clickhouse(),
      registry: await found.registry(),
    },
    prefix,
    slot,
    topologies: topology,
    clock: systemClock,
    onWarning: (error: Error) => void process.stderr.write(`warning: ${error.message}\n`),
    onFatal,
  }
  if ('data' in config) return openData({ ...shared, config: config.data, ownsSink: true })
  return openTraffic({ ...shared, config: config.traffic, solver: 'thread', needsWarehouse: false })
}

/**
 * `forestall stream`: the pipelines of a subsystem on the user's own parts, until Ctrl-C or SIGTERM. Start it more
 * often, each with a slot of its own, to share the partitions. Returns the exit status.
 */
export async function runStream(args: StreamArgs): Promise<number> {
  const signals = signalled()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => undefined)
  const pipelines = await open(args, (error) => failure.reject(error))
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
