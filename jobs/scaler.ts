import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { type DataScaleBody, topicName } from '#schemas'
import { createAckSender, createBrokerSource, createFollower } from '#core/dataplane'
import { systemClock } from '#core/ports'
import { startExternalScaler } from '#infra/keda'
import type { Sample } from '#infra/observability'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'
import { createScaleCommand, type ScaleCommand } from './scale-command.ts'
import { createScaleTable } from './scale-table.ts'
import { scalerSamples } from './metrics-scaler.ts'
import { serveMetrics } from './serve-metrics.ts'
import { signalled } from './signals.ts'
import { createWarner } from './warnings.ts'

/** `forestall scaler`. */
export interface ScalerArgs extends CommonArgs {
  readonly host: string
  readonly port: number
  /** Takes decisions of this replay only; '': live ones. */
  readonly replayId: string
  /** Run whenever the count of a service changes; null: nothing is. */
  readonly onScale: ScaleCommand | null
  /** Stops after this time, ms; null: runs until it is stopped. */
  readonly forMs: number | null
  /** Port of `/metrics`; null: none. */
  readonly metricsPort: number | null
  readonly metricsHost: string
  readonly dataDir: string
}

const TOPIC = 'decisions.data.scale'
const ACKS = 'acks.decisions'

/** `forestall scaler`: answers KEDA with the instance counts decided, until it is stopped. */
export async function runScaler(args: ScalerArgs): Promise<ExitCode> {
  const found = findConnections(args.dataDir)
  const replayId = await findReplay(found, args.replayId)
  const prefix = replayPrefix(replayId)
  const codec = await openCodec(found)
  await codec.prepare([{ topic: ACKS, record: 'Ack' }])
  const broker = await openBroker(found, 'forestall-scaler')
  const signals = signalled()
  const warn = createWarner()
  const table = createScaleTable()
  const acks = createAckSender({
    broker,
    topic: topicName(ACKS, prefix),
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock: systemClock,
  })
  const command =
    args.onScale === null
      ? null
      : createScaleCommand(args.onScale, table.applier, (line) => process.stderr.write(`${line}\n`))
  const follower = createFollower<DataScaleBody>({
    ...(command ?? table).applier,
    id: `${hostname()}:scaler`,
    source: createBrokerSource(broker, topicName(TOPIC, prefix), (value) =>
      codec.decodeAsync(value, 0, value.length, 'DataScaleDecision'),
    ),
    sendAck: (ack) => acks.send(ack),
    clock: systemClock,
    kind: 'placement',
    replayId,
    onWarning: warn,
  })
  try {
    await follower.start()
    const scaler = await startExternalScaler({ source: table.source, host: args.host, port: args.port })
    const collect = (): Promise<Sample[]> =>
      Promise.resolve(
        scalerSamples({
          bodies: () => table.bodies(),
          health: () => follower.health(),
          calls: () => scaler.counts(),
          commands: command === null ? null : () => command.counts(),
        }),
      )
    const metrics = await serveMetrics(args, collect, warn).catch(async (error: unknown) => {
      await scaler.stop()
      throw error
    })
    const address = `${args.host}:${scaler.port}`
    process.stdout.write(args.json ? `${JSON.stringify({ address })}\n` : `scaler on ${address}\n`)
    try {
      const over = args.forMs === null ? [] : [delay(args.forMs, undefined, { ref: false })]
      await Promise.race([signals.stopped, ...over])
    } finally {
      await metrics?.stop()
      await scaler.stop()
    }
    return 0
  } finally {
    signals.release()
    // The follower waits for what is under way.
    await command?.stop()
    await follower.stop()
    await acks.close()
    await broker.close()
  }
}
