import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { topicName } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createAckSender, createBrokerSource, createFollower } from '#core/dataplane'
import { type Broker, systemClock } from '#core/ports'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec } from './connect.ts'
import { errorLines, type ExitCode } from './errors-exit.ts'
import { readQueryRouterConfig } from './query-router-config.ts'
import { openMover } from './query-router-moves.ts'
import { type OpenRouter, openQueryRouter } from './query-router-open.ts'
import { ofService, placementApplier } from './query-router-placement.ts'
import { openRouterReports, type RouterReports } from './router-reports.ts'
import { signalled } from './signals.ts'

/** `forestall query-router`. */
export interface QueryRouterArgs extends CommonArgs {
  /** JSON file: service, instances, tables, policies. */
  readonly file: string
  /** Keeps the placement that stands, to restart without Kafka. */
  readonly snapshotFile?: string
  /** Takes decisions of this replay only; '': live ones. */
  readonly replayId: string
  readonly forMs: number | null
  readonly dataDir: string
}

const DECISIONS = 'decisions.data.shards'
const ACKS = 'acks.decisions'

const warn = (error: Error): void => {
  process.stderr.write(`warning: ${errorLines(error)[0]}\n`)
}

/** Follows the placement of the router's service. */
async function followPlacement(
  args: QueryRouterArgs,
  opened: OpenRouter,
  config: ReturnType<typeof readQueryRouterConfig>,
  broker: Broker,
  codec: RecordCodec,
): Promise<() => Promise<void>> {
  await codec.prepare([{ topic: ACKS, record: 'Ack' }])
  const sender = createAckSender({
    broker,
    topic: topicName(ACKS, replayPrefix(args.replayId)),
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock: systemClock,
  })
  const source = createBrokerSource(broker, topicName(DECISIONS, replayPrefix(args.replayId)), (value) =>
    codec.decodeAsync(value, 0, value.length, 'DataShardDecision'),
  )
  const follower = createFollower({
    ...placementApplier(
      opened.placement,
      config.instances.map(({ name }) => name),
      opened.applied,
      config.replicas,
    ),
    id: `${hostname()}:query-router:${config.service}`,
    source: ofService(source, config.service),
    sendAck: (ack) => sender.send(ack),
    clock: systemClock,
    kind: 'placement',
    replayId: args.replayId,
    ...(args.snapshotFile === undefined ? {} : { snapshotFile: args.snapshotFile }),
    onWarning: warn,
  })
  await follower.start()
  return async () => {
    await follower.stop()
    await sender.close()
  }
}

/** Follows the placement of the router's service, and moves what it asks for. */
async function followMoves(
  args: QueryRouterArgs,
  opened: OpenRouter,
  config: ReturnType<typeof readQueryRouterConfig>,
  broker: Broker,
  codec: RecordCodec,
): Promise<() => Promise<void>> {
  const password = process.env['FORESTALL_ROUTER_PASSWORD']
  const moves = await openMover({
    config,
    opened,
    broker,
    codec,
    clock: systemClock,
    topicPrefix: replayPrefix(args.replayId),
    replayId: args.replayId,
    id: `${hostname()}:query-router:${config.service}`,
    onPhase: ({ segment, from, to, phase }) =>
      process.stderr.write(`segment ${segment} ${from} -> ${to || 'none'}: ${phase}\n`),
    onWarning: warn,
    ...(password === undefined ? {} : { password }),
    ...(args.snapshotFile === undefined ? {} : { snapshotFile: args.snapshotFile }),
  })
  return () => moves.stop()
}

/** Runs a query router until it is told to stop. */
export async function runQueryRouter(asked: QueryRouterArgs): Promise<ExitCode> {
  const config = readQueryRouterConfig(asked.file)
  const found = findConnections(asked.dataDir)
  const args = { ...asked, replayId: await findReplay(found, asked.replayId) }
  const codec = await openCodec(found)
  const broker = await openBroker(found, `forestall-query-router-${config.service}`)
  const signals = signalled()
  let opened: OpenRouter | null = null
  let reports: RouterReports | null = null
  let stopFollowing: (() => Promise<void>) | null = null
  try {
    reports = await openRouterReports({
      broker,
      codec,
      topicPrefix: replayPrefix(args.replayId),
      service: config.service,
      capacity: 0,
      clock: systemClock,
      onWarning: warn,
    })
    const { onQuery } = reports
    const password = process.env['FORESTALL_ROUTER_PASSWORD']
    opened = await openQueryRouter({
      config,
      broker,
      codec,
      clock: systemClock,
      topicPrefix: replayPrefix(args.replayId),
      onWarning: warn,
      onQuery,
      ...(password === undefined ? {} : { password }),
    })
    // One router of a service applies its log, moves its segments, and speaks for the instances.
    stopFollowing = config.apply
      ? await followMoves(args, opened, config, broker, codec)
      : await followPlacement(args, opened, config, broker, codec)
    if (config.apply)
      reports.begin(
        opened,
        config.instances.map(({ name }) => name),
      )
    const { url } = opened.router
    const line = { url, service: config.service, instances: config.instances.length, log: opened.topic }
    process.stdout.write(
      args.json
        ? `${JSON.stringify(line)}\n`
        : `${config.service}: queries to ${url}, health at ${url}/forestall/health\n`,
    )
    const over = args.forMs === null ? [] : [delay(args.forMs)]
    await Promise.race([signals.stopped, ...over])
  } finally {
    signals.release()
    await stopFollowing?.()
    await opened?.stop()
    await reports?.close()
    await broker.close()
  }
  return 0
}
