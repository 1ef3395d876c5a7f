import { readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import { topicSpec } from '#schemas'
import { type Broker, ForestallError } from '#core/ports'
import { type FlowAdapterConfig, runFlowAdapter } from '#infra/adapters'
import type { MetricsServer, Sample } from '#infra/observability'
import type { CommonArgs } from './args.ts'
import { findConnections, openBroker, openCodec } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'
import { BRIDGE_LABELS, bridgeSamples } from './metrics-bridge.ts'
import { createLag } from './metrics-lag.ts'
import { serveMetrics } from './serve-metrics.ts'
import { signalled } from './signals.ts'
import { createWarner } from './warnings.ts'

/** `forestall bridge`. */
export interface BridgeArgs extends CommonArgs {
  /** Topic that goflow2 writes to. */
  readonly from: string
  /** JSON file that says which addresses belong to which region. */
  readonly mapFile?: string
  readonly slot: string
  /** Stops after this time, ms; null: runs until it is stopped. */
  readonly forMs: number | null
  /** Port of `/metrics`; null: none. */
  readonly metricsPort: number | null
  readonly metricsHost: string
  readonly dataDir: string
}

const FLOWS = 'telemetry.flows'
/** Commits are repeated while brokers restart; only a person is impatient. */
const RETRY_MS = 60_000

const AdapterFile = z
  .strictObject({
    format: z.enum(['auto', 'protobuf', 'json']),
    regions: z.array(z.strictObject({ prefix: z.string(), region: z.string().min(1) })),
    asRegions: z.record(z.string(), z.string()),
    samplerRegions: z.record(z.string(), z.string()),
    elsewhere: z.string().min(1),
    time: z.enum(['flow_end', 'received']),
  })
  .partial()

function readAdapterConfig(file: string): FlowAdapterConfig {
  let json: unknown
  try {
    json = JSON.parse(readFileSync(file, 'utf8'))
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `--map ${file} is not a JSON file that can be read.`, {
      cause,
    })
  }
  const parsed = AdapterFile.safeParse(json)
  if (parsed.success) {
    return Object.fromEntries(Object.entries(parsed.data).filter(([, value]) => value !== undefined))
  }
  const [issue] = parsed.error.issues
  throw new ForestallError('CONFIG_INVALID', `--map ${file}: ${issue?.path.join('.')}: ${issue?.message}.`)
}

async function createTopics(broker: Broker, from: string): Promise<void> {
  const admin = broker.admin()
  try {
    const existing = new Set(await admin.listTopics())
    if (!existing.has(from)) throw new ForestallError('NOT_FOUND', `Topic ${from} does not exist.`)
    const specs = [topicSpec(FLOWS), topicSpec(`dlq.${from}`)]
    await admin.ensureTopics(specs.filter(({ name }) => !existing.has(name)))
  } finally {
    await admin.close()
  }
}

/** `forestall bridge`: goflow2 messages become flows of `telemetry.flows`, each exactly once, until it is stopped. */
export async function runBridge(args: BridgeArgs): Promise<ExitCode> {
  const adapter = args.mapFile === undefined ? {} : readAdapterConfig(args.mapFile)
  const found = findConnections(args.dataDir)
  const codec = await openCodec(found)
  const broker = await openBroker(found, `forestall-bridge-${args.slot}`, RETRY_MS)
  const signals = signalled()
  const warn = createWarner()
  const groupId = `forestall.bridge.${args.from}`
  let metrics: MetricsServer | null = null
  try {
    await createTopics(broker, args.from)
    const bridge = await runFlowAdapter({
      broker,
      codec,
      inputTopic: args.from,
      outputTopic: FLOWS,
      groupId,
      slot: args.slot,
      adapter,
      onWarning: warn,
    })
    process.stderr.write(`${args.from} -> ${FLOWS}; Ctrl-C stops it\n`)
    const over = args.forMs === null ? [] : [delay(args.forMs, undefined, { ref: false })]
    try {
      const reads = { group: groupId, prefix: '', topics: [args.from], labels: BRIDGE_LABELS }
      const lag = createLag(broker, [reads], warn)
      const collect = async (): Promise<Sample[]> => [...bridgeSamples(bridge.counters()), ...(await lag())]
      metrics = await serveMetrics(args, collect, warn)
      await Promise.race([signals.stopped, bridge.done, ...over])
    } finally {
      await bridge.stop()
    }
    const { records, flows, deadLetters } = bridge.counters()
    const counts = { records, flows, deadLetters }
    process.stdout.write(
      args.json
        ? `${JSON.stringify(counts)}\n`
        : `${records} messages, ${flows} flows, ${deadLetters} dead letters\n`,
    )
    return 0
  } finally {
    signals.release()
    await metrics?.stop()
    await broker.close()
  }
}
