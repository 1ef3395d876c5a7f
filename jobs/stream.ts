import { ForestallError, systemClock } from '#core/ports'
import type { Counters } from '#core/runtime'
import type { StreamArgs } from './args.ts'
import { findConnections } from './connect.ts'
import type { MetricsServer } from '#infra/observability'
import { openPipelines, type Pipelines } from './open-pipelines.ts'
import { retentionOf } from './retention.ts'
import { serveMetrics } from './serve-metrics.ts'
import { signalled } from './signals.ts'
import { SUBSYSTEMS } from './subsystems.ts'
import { createWarner } from './warnings.ts'

const REPORT_EVERY_MS = 5000

/** Opens the pipelines of the subsystem. Throws CONFIG_INVALID if the file that says what they are about is missing. */
async function open(args: StreamArgs, onFatal: (error: Error) => void): Promise<Pipelines> {
  const found = findConnections(args.dataDir)
  const { prefix, slot, topology } = args
  const retention = retentionOf(args, prefix)
  const entry = SUBSYSTEMS.find(({ name }) => name === args.subsystem)
  const file = entry && args.files[entry.fileOption]
  if (entry === undefined || file === undefined)
    throw new ForestallError(
      'CONFIG_INVALID',
      `stream ${args.subsystem} needs --${entry?.fileOption ?? 'settings'} <file>.`,
    )
  const configured = await entry.configure(file, args.windowMs ?? entry.windowMs, prefix.replace(/\.$/, ''))
  const connections = {
    kafka: await found.kafka(),
    clickhouse: await found.clickhouse(),
    registry: await found.registry(),
  }
  return configured.with((subsystem, config) =>
    openPipelines({
      subsystem,
      config,
      connections,
      prefix,
      slot,
      part: topology,
      clock: systemClock,
      solver: 'thread',
      sink: 'waiting',
      ...(retention === undefined ? {} : { retention }),
      onWarning: warn,
      onFatal,
    }),
  )
}

const warn = createWarner()

type Done = Pick<Counters, 'recordsIn' | 'recordsOut' | 'late' | 'deadLetters'>

/** What each part has done, for people: records in and out, and what was not taken where there was any. */
export function progressLine(parts: Readonly<Record<string, Done>>): string {
  return Object.entries(parts)
    .map(([name, { recordsIn, recordsOut, late, deadLetters }]) => {
      const lost = [
        ...(late > 0 ? [`${late} late`] : []),
        ...(deadLetters > 0 ? [`${deadLetters} dead letters`] : []),
      ]
      return `${name} ${recordsIn} in, ${recordsOut} out${lost.length === 0 ? '' : ` (${lost.join(', ')})`}`
    })
    .join('; ')
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
  let said = ''
  const timer = setInterval(() => {
    const line = progressLine(counters())
    if (line !== said) process.stderr.write(`${line}\n`)
    said = line
  }, REPORT_EVERY_MS)
  let metrics: MetricsServer | null = null
  try {
    metrics = await serveMetrics(args, () => pipelines.metrics(), warn)
    await pipelines.start()
    process.stderr.write(
      `streaming ${args.topology} of ${args.subsystem} as slot ${args.slot}; Ctrl-C stops it\n`,
    )
    await Promise.race([signals.stopped, failure.promise])
    return 0
  } finally {
    clearInterval(timer)
    await metrics?.stop()
    await pipelines.stop()
    signals.release()
    if (args.json) process.stdout.write(`${JSON.stringify(counters())}\n`)
  }
}
