import { join } from 'node:path'
import { startClickHouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { startRegistry } from '#infra/registry'
import { rememberedPort } from './free-port.ts'
import { startKafka, type KafkaProcess } from './kafka-process.ts'
import type { KafkaListener } from './kafka-settings.ts'
import { identityOf, waitUntilGone } from './process-identity.ts'
import type { LaunchContext, Part, RunningPart, Supervisor } from './supervisor.ts'

/** Tells what a part is doing. */
export type Report = (
  state: 'preparing' | 'starting' | 'ready' | 'stopping' | 'stopped',
  detail?: string,
) => void

/** A part that answers at a URL. */
export interface ServingPart extends RunningPart {
  readonly url: string
}

/** Reports the steps of a launch, and those of the stop of what it launched. */
export async function reported<Running extends RunningPart>(
  report: Report,
  address: (running: Running) => string,
  launch: () => Promise<Running>,
): Promise<Running> {
  const running = await launch()
  report('ready', address(running))
  return {
    ...running,
    async stop() {
      report('stopping')
      await running.stop()
      report('stopped')
    },
  }
}

/** The embedded Kafka; its port is kept over restarts of the part. */
export function kafkaPart(
  supervisor: Supervisor,
  report: Report,
  options: { partsDir: string; throughput: boolean; listeners?: readonly KafkaListener[] },
): Part<KafkaProcess> {
  let port: number | undefined
  const launch = async ({ onSpawn, signal }: LaunchContext): Promise<KafkaProcess> => {
    report('preparing')
    const kafka = await startKafka({
      ...options,
      dataDir: supervisor.dataDir,
      logFile: join(supervisor.dataDir, 'logs', 'kafka.log'),
      ...(port === undefined ? {} : { port }),
      signal,
      onPreparing: (detail) => report('preparing', detail),
      onSpawn: (pid) => {
        onSpawn(pid)
        report('starting')
      },
    })
    port = kafka.port
    return kafka
  }
  return supervisor.part('kafka', (context) =>
    reported(
      report,
      (it) => it.broker,
      () => launch(context),
    ),
  )
}

const GONE_TIMEOUT_MS = 10_000

/** The embedded ClickHouse; its port is kept over restarts of the part. */
export function clickhousePart(supervisor: Supervisor, report: Report): Part<ServingPart> {
  let port: number | undefined
  const launch = async ({ onSpawn }: LaunchContext): Promise<ServingPart> => {
    report('starting')
    port ??= await rememberedPort(supervisor.dataDir, 'clickhouse')
    const logFile = join(supervisor.dataDir, 'logs', 'clickhouse.log')
    const exit = Promise.withResolvers<string>()
    const process_ = await startClickHouse({
      dataDir: join(supervisor.dataDir, 'clickhouse'),
      port,
      logFile,
      onExit: (code, signal) => exit.resolve(signal === null ? `exit code ${code}` : `signal ${signal}`),
    })
    onSpawn(process_.pid)
    const identity = identityOf(process_.pid)
    return {
      ...process_,
      logFile,
      exited: exit.promise,
      async kill9() {
        if (!identity) return
        process.kill(identity.pid, 'SIGKILL')
        await waitUntilGone(identity, GONE_TIMEOUT_MS)
      },
    }
  }
  return supervisor.part('clickhouse', (context) =>
    reported(
      report,
      (it) => it.url,
      () => launch(context),
    ),
  )
}

/** The embedded registry, which lives in this process and keeps its schemas in Kafka. `brokers`: starts them. */
export function registryPart(
  supervisor: Supervisor,
  report: Report,
  brokers: () => Promise<readonly string[]>,
): Part<ServingPart> {
  const launch = async (): Promise<ServingPart> => {
    report('starting')
    const broker = createBroker({ bootstrapBrokers: await brokers(), clientId: 'forestall-registry' })
    const port = await rememberedPort(supervisor.dataDir, 'registry')
    const registry = await startRegistry({ broker, port }).catch(async (error: unknown) => {
      await broker.close()
      throw error
    })
    const stop = async (): Promise<void> => {
      await registry.stop()
      await broker.close()
    }
    return { url: registry.url, stop, kill9: stop }
  }
  return supervisor.part('registry', () => reported(report, (it) => it.url, launch))
}
