import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { type RouteBody, TOPICS, topicDefinition, topicName } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createAckSender, createBrokerSource, createFollower } from '#core/dataplane'
import {
  type Broker,
  type Decision,
  type DecisionApplier,
  type DecodeDecision,
  ForestallError,
  systemClock,
} from '#core/ports'
import type { MetricsServer, Sample } from '#infra/observability'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'
import { haproxyTarget, routeTableTarget, type Target } from './follow-targets.ts'
import { followerSamples } from './metrics.ts'
import { gauge } from './metrics-samples.ts'
import { serveMetrics } from './serve-metrics.ts'
import { signalled } from './signals.ts'
import { createWarner } from './warnings.ts'

/** `forestall follow`. */
export interface FollowArgs extends CommonArgs {
  /** Puts decisions into a HAProxy, into a route table in memory, or only prints them. */
  readonly target: 'haproxy' | 'table' | 'print'
  /** Stats socket of HAProxy. */
  readonly socket?: string
  /** JSON file that says which backend carries a stream and which server stands for a region. */
  readonly mapFile?: string
  /** Decision topic without prefix. */
  readonly topic: string
  /** Who reports; default: host name and target. */
  readonly id?: string
  /** Keeps what stands, to restart without Kafka. */
  readonly snapshotFile?: string
  /** Takes decisions of this replay only; '': live ones. */
  readonly replayId: string
  /** Stops after this time, ms; null: runs until it is stopped. */
  readonly forMs: number | null
  /** Port of `/metrics`; null: none. */
  readonly metricsPort: number | null
  readonly metricsHost: string
  readonly dataDir: string
}

const ACKS = 'acks.decisions'

/** A running follower or printer. */
interface Running {
  metrics(): Sample[]
  stop(): Promise<void>
}

const warn = createWarner()

const print = (value: unknown): void => {
  process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value)}\n`)
}

function routesLine({ entity, epoch, mode, decision_id: id, body }: Decision<RouteBody>): string {
  const paths = body.paths.map((p) => `${p.region}/${p.path_id} ${(100 * p.weight).toFixed(1)} %`)
  const how = mode === 'apply' ? '' : `  (${mode})`
  return `${entity}  ${paths.join(', ')}  ${body.assignments.length} shards  epoch ${epoch}  ${id}${how}`
}

/** Prints every decision as it comes, and reports nothing: a reader is not a data plane. */
function startPrinter(args: FollowArgs, broker: Broker, codec: RecordCodec): Running {
  const { record } = topicDefinition(args.topic)
  const decode: DecodeDecision<unknown> = async (value) => {
    const decision = await codec.decodeAsync(value, 0, value.length, record ?? undefined)
    return decision as unknown as Decision<unknown>
  }
  const source = createBrokerSource(broker, topicName(args.topic, replayPrefix(args.replayId)), decode)
  source.start({
    onDecision({ entity, decision, partition, offset }) {
      if (args.json) print({ entity, partition, offset, decision })
      else if (decision === null) print(`${entity}  withdrawn: back to the default`)
      else if (record === 'RouteDecision') print(routesLine(decision as Decision<RouteBody>))
      else
        print(`${entity}  epoch ${decision.epoch}  ${decision.decision_id}  ${JSON.stringify(decision.body)}`)
    },
    onCaughtUp() {
      process.stderr.write('-- caught up, waiting for new decisions\n')
    },
    onError: warn,
  })
  const labels = { follower: 'print', topic: args.topic }
  return {
    metrics: () => [
      gauge('follower_lag_records', 'Decisions not yet read; -1: not known.', labels, source.lag()),
    ],
    stop: () => source.stop(),
  }
}

/** Prints what was put into force. */
function printing(args: FollowArgs, target: Target): DecisionApplier<RouteBody> {
  const { applier } = target
  const { preview } = applier
  return {
    async apply(decision, context) {
      const observed = await applier.apply(decision, context)
      print(args.json ? { applied: decision, observed } : routesLine(decision))
      return observed
    },
    async revert(entity) {
      await applier.revert(entity)
      print(args.json ? { reverted: entity } : `${entity}  back to the default`)
    },
    ...(preview === undefined ? {} : { preview: (decision) => preview(decision) }),
  }
}

/** A follower that reports what it did to `acks.decisions`. */
async function startFollowing(args: FollowArgs, broker: Broker, codec: RecordCodec): Promise<Running> {
  if (topicDefinition(args.topic).record !== 'RouteDecision') {
    throw new ForestallError('CONFIG_INVALID', `--topic ${args.topic} does not hold routes.`, {
      cure: 'Only --print follows every decision topic.',
    })
  }
  const target =
    args.target === 'haproxy' ? haproxyTarget(args.socket ?? '', args.mapFile, warn) : routeTableTarget()
  const acks = topicName(ACKS, replayPrefix(args.replayId))
  // One schema subject for live topics and all replays.
  await codec.prepare([{ topic: ACKS, record: 'Ack' }])
  const sender = createAckSender({
    broker,
    topic: acks,
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock: systemClock,
  })
  const id = args.id ?? `${hostname()}:${args.target}`
  const follower = createFollower<RouteBody>({
    ...printing(args, target),
    id,
    source: createBrokerSource(broker, topicName(args.topic, replayPrefix(args.replayId)), (value) =>
      codec.decodeAsync(value, 0, value.length, 'RouteDecision'),
    ),
    sendAck: (ack) => sender.send(ack),
    clock: systemClock,
    replayId: args.replayId,
    ...(args.snapshotFile === undefined ? {} : { snapshotFile: args.snapshotFile }),
    onWarning: warn,
  })
  target.start()
  await follower.start()
  return {
    metrics: () => followerSamples(id, args.topic, follower.health()),
    async stop() {
      await follower.stop()
      await target.stop()
      await sender.close()
      const { applied, rejected, expired, rolledBack } = follower.health().counters
      if (args.json) print({ applied, rejected, expired, rolledBack })
    },
  }
}

/** Throws CONFIG_INVALID for a topic that holds no decisions. */
function checkTopic(topic: string): void {
  const names = TOPICS.map(({ name }) => name).filter((name) => name.startsWith('decisions.'))
  if (names.includes(topic)) return
  throw new ForestallError('CONFIG_INVALID', `--topic ${topic} holds no decisions`, {
    cure: `Name one of ${names.join(', ')}, without prefix: --replay-id adds it.`,
  })
}

/** `forestall follow`: runs until it is stopped, or for `forMs`. */
export async function runFollow(asked: FollowArgs): Promise<ExitCode> {
  checkTopic(asked.topic)
  const found = findConnections(asked.dataDir)
  const args = { ...asked, replayId: await findReplay(found, asked.replayId) }
  const codec = await openCodec(found)
  const broker = await openBroker(found, `forestall-follow-${args.target}`)
  // Nothing else keeps the process alive while Kafka is away.
  const alive = setInterval(() => {}, 2 ** 30)
  const signals = signalled()
  let running: Running | null = null
  let metrics: MetricsServer | null = null
  const stop = async (): Promise<void> => {
    clearInterval(alive)
    signals.release()
    await metrics?.stop()
    await running?.stop()
    await broker.close()
  }
  try {
    metrics = await serveMetrics(args, () => running?.metrics() ?? [], warn)
    running =
      args.target === 'print' ? startPrinter(args, broker, codec) : await startFollowing(args, broker, codec)
    const over = args.forMs === null ? [] : [delay(args.forMs, undefined, { ref: false })]
    await Promise.race([signals.stopped, ...over])
  } finally {
    await stop()
  }
  return 0
}
