import type { DataScaleDecision, DataShardDecision, QueryLog } from '#schemas'
import {
  type DataConfig,
  dataConfig,
  decisionsTopology,
  featuresTopology,
  forecastsTopology,
} from '#data-sharding'
import type { ForecastTables } from '#core/forecasting'
import { type ManualClock, manualClock } from '#core/ports'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'

/** Start of the first window, ms since 1970. */
export const START_MS = Date.UTC(2026, 0, 5)
/** Instances of the small service. */
export const INSTANCES = ['ch1', 'ch2', 'ch3', 'ch4']

/** One service of 32 segments on four instances, windows of a minute, days of 24 windows, dated by the windows. */
export const tinyConfig = (over: Partial<DataConfig> = {}): DataConfig =>
  dataConfig({
    services: [
      {
        service: 'search',
        instances: INSTANCES,
        replicas: 1.25,
        capacity: 200,
        minInstances: 1,
        maxInstances: 8,
      },
    ],
    segments: 32,
    windowMs: 60_000,
    graceMs: 0,
    partitions: 2,
    dayWindows: 24,
    patternWindows: 2,
    time: 'event',
    ...over,
  })

/** A valid query; `over` changes what a case is about. */
export const queryOf = (over: Partial<QueryLog> = {}): QueryLog => {
  const entity = over.entity_id ?? 'k1'
  return {
    event_time_ms: START_MS,
    origin: 'test',
    pattern: `search|read|${entity}`,
    service_id: 'search',
    entity_id: entity,
    operation_id: 'read',
    work: 1,
    duration_ms: 3,
    read_rows: 1,
    read_bytes: 8,
    written_rows: 0,
    written_bytes: 0,
    instance: 'ch1',
    failed: false,
    ...over,
  }
}

/** What the instances report in a window, by name: else each is up and does 4 units of work per second. */
export type Reports = Readonly<Record<string, { readonly up?: boolean; readonly capacity?: number }>>

/** The three topologies on one driver, fed window by window. */
export interface Chain {
  readonly driver: TestDriver
  readonly clock: ManualClock
  /** Writes the next window (queries by key) and lets everything work; `commit: false` leaves the last step to be lost. */
  window(
    queries: Readonly<Record<string, number>>,
    options?: { readonly commit?: boolean; readonly reports?: Reports },
  ): Promise<void>
  shards(): DataShardDecision[]
  scale(): DataScaleDecision[]
}

const PARTITIONS = { 'logs.queries': 2, 'features.queries': 2, 'forecasts.patterns': 2 }

/** Makes a chain; what stands is read back from the decisions committed so far. */
export async function createChain(config: DataConfig, tables?: ForecastTables): Promise<Chain> {
  const clock = manualClock(START_MS)
  const held: { driver?: TestDriver } = {}
  const latest = <D extends { entity: string }>(records: readonly D[]) =>
    new Map(records.map((record) => [record.entity, record]))
  const readStanding = async () => ({
    shards: latest(held.driver?.output('decisions.data.shards', 'DataShardDecision') ?? []),
    scale: latest(held.driver?.output('decisions.data.scale', 'DataScaleDecision') ?? []),
  })
  const topologies = [
    featuresTopology(config),
    forecastsTopology(config, tables),
    decisionsTopology(config, { clock, readStanding }, tables),
  ]
  const driver = await createTestDriver(topologies, {
    partitions: PARTITIONS,
    clock,
  })
  held.driver = driver
  let window = 0
  return {
    driver,
    clock,
    async window(queries, { reports = {}, ...options } = {}) {
      const startMs = START_MS + window++ * config.windowMs
      const endMs = startMs + config.windowMs
      clock.set(endMs)
      let n = 0
      for (const [entity, count] of Object.entries(queries))
        for (let i = 0; i < count; i++)
          driver.pipe(
            'logs.queries',
            n++ % 2,
            'QueryLog',
            queryOf({ event_time_ms: startMs + i, entity_id: entity }),
          )
      // Time goes on by the first event of the next window.
      for (const partition of [0, 1])
        driver.pipe(
          'logs.queries',
          partition,
          'QueryLog',
          queryOf({ event_time_ms: endMs, entity_id: 'clock' }),
        )
      for (const [k, instance] of INSTANCES.entries())
        for (const timeMs of [startMs, endMs])
          driver.pipe('telemetry.pipelines', 0, 'PipelineState', {
            event_time_ms: timeMs + k,
            origin: 'test',
            pipeline_id: instance,
            service_id: 'search',
            current_load: 1,
            capacity: 4,
            up: true,
            ...reports[instance],
            shard_ids: [],
          })
      await driver.run(options)
    },
    shards: () => driver.output('decisions.data.shards', 'DataShardDecision'),
    scale: () => driver.output('decisions.data.scale', 'DataScaleDecision'),
  }
}
