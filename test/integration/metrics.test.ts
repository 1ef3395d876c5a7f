import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { systemClock } from '#core/ports'
import { createWarehouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { type Sample, startMetricsServer } from '#infra/observability'
import { createNetwork, trafficConfig, trafficRouting } from '#traffic-routing'
import { topicName } from '#schemas'
import { flowOf } from '../traffic-routing/chain.ts'
import { demoNetwork } from '../../jobs/demo/scenario.ts'
import { databaseOf } from '../../jobs/connect.ts'
import { openPipelines, type Pipelines } from '../../jobs/open-pipelines.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { uniqueName } from '../support/unique.ts'
import { until } from '../support/until.ts'

failOnLeaks()

const PREFIX = `${uniqueName('metrics')}.`
const WINDOW_MS = 1000
const FLOWS = 50
const demo = demoNetwork()
const troubles: Error[] = []
let pipelines: Pipelines

beforeAll(async () => {
  pipelines = await openPipelines({
    subsystem: trafficRouting,
    config: trafficConfig({
      network: createNetwork(demo.links, demo.pairs),
      windowMs: WINDOW_MS,
      graceMs: 0,
      partitions: 1,
      idleMs: 200,
    }),
    connections: {
      kafka: { bootstrapBrokers: inject('kafkaBrokers').split(',') },
      clickhouse: { url: inject('clickhouseUrl') },
      registry: { url: inject('registryUrl') },
    },
    prefix: PREFIX,
    slot: 'w0',
    part: 'features',
    clock: systemClock,
    solver: 'inline',
    sink: 'waiting',
    onWarning: (error) => troubles.push(error),
    onFatal: (error) => troubles.push(error),
  })
  await pipelines.start()
})

afterAll(async () => {
  await pipelines.stop()
  const warehouse = createWarehouse({ url: inject('clickhouseUrl'), database: databaseOf(PREFIX) })
  await warehouse.command(`DROP DATABASE IF EXISTS ${databaseOf(PREFIX)}`)
  await warehouse.close()
  const broker = createBroker({ bootstrapBrokers: inject('kafkaBrokers').split(','), clientId: PREFIX })
  const admin = broker.admin()
  await admin.deleteTopics((await admin.listTopics()).filter((name) => name.startsWith(PREFIX)))
  await admin.close()
  await broker.close()
})

test('a worker on real parts tells what went through it, what it refused, and how far behind it is', async () => {
  const { broker, codec } = pipelines
  const topic = topicName('telemetry.flows', PREFIX)
  const startMs = systemClock.nowMs() - 10_000
  const producer = broker.producer()
  const send = (over: Parameters<typeof flowOf>[0]) =>
    producer.add(
      topic,
      0,
      systemClock.nowMs(),
      null,
      codec.encode(
        'telemetry.flows',
        'Flow',
        flowOf({ stream: demo.streams[0]!.name, src_region: 'x', ...over }),
      ),
    )
  for (let n = 0; n < FLOWS; n++) send({ event_time_ms: startMs + n })
  send({ event_time_ms: startMs, bytes: -1 })
  send({ event_time_ms: startMs + 5 * WINDOW_MS })
  await producer.flush()
  await producer.close()
  const collect = (): Promise<Sample[]> => pipelines.metrics()
  const server = await startMetricsServer({ port: 0, collect, onError: (error) => troubles.push(error) })
  try {
    const valueOf = (text: string, name: string, label: string): number =>
      Number(new RegExp(`^${name}\\{[^}]*${label}[^}]*\\} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
    const text = await until(
      async () => {
        const now = await (await fetch(server.url)).text()
        const isClosed = valueOf(now, 'forestall_windows_closed_total', 'part="features"') > 0
        return isClosed && valueOf(now, 'forestall_lag_records', 'telemetry.flows') < 5 ? now : ''
      },
      { timeoutMs: 60_000, everyMs: 200, what: 'a window is closed and committed' },
    )
    const features = 'subsystem="traffic-routing",part="features"'
    // The internal topic's partial aggregates and marks are records, too.
    expect(valueOf(text, 'forestall_records_in_total', features)).toBeGreaterThanOrEqual(FLOWS + 2)
    expect(valueOf(text, 'forestall_dead_letters_total', features)).toBe(1)
    expect(valueOf(text, 'forestall_commits_total', features)).toBeGreaterThan(0)
    expect(valueOf(text, 'forestall_commit_seconds_total', features)).toBeGreaterThan(0)
    expect(valueOf(text, 'forestall_state_bytes', features)).toBeGreaterThan(0)
    expect(text).toMatch(
      /^forestall_watermark_timestamp_seconds\{.*task="traffic\.features\/flows\/0".*\} \d/m,
    )
    expect(text).toMatch(/^forestall_sink_buffered_bytes \d/m)
    expect(troubles).toEqual([])
  } finally {
    await server.stop()
  }
}, 120_000)
