import { type DataConfig, dataConfig } from '#data-sharding'
import { type QueryRouterConfig, queryRouterConfig } from '../query-router-config.ts'
import { createHotKeys, type HotKeys } from './data-keys.ts'
import { ORDERS } from './data-load.ts'

/** The service of the demo. */
export const SERVICE = 'orders'
/** Embedded instances at the start, and at the most: another one comes for the peak. */
export const INSTANCES = 5
const MOST_INSTANCES = 6
/** Queries per second that one instance counts as able to do. */
export const INSTANCE_CAPACITY = 15

/** Every instance that there may be. */
export const instanceNames = (): string[] => Array.from({ length: MOST_INSTANCES }, (_, i) => `i${i}`)
/** Inserts per second of the load. */
export const INSERTS_PER_SECOND = 2

const SEGMENTS = 64
const REPLICAS = 1.1
const PARTITIONS = 4
const KEYS = 200
const ALPHA = 1.1
const PHASE_MS = 20_000
const PHASES = 3
const QUERIES_PER_SECOND = 50

/** The load: a hot set that moves every 20 s and comes back after a minute, which is its day. */
export const demoKeys = (): HotKeys =>
  createHotKeys({
    keys: KEYS,
    alpha: ALPHA,
    phaseMs: PHASE_MS,
    phases: PHASES,
    queriesPerSecond: QUERIES_PER_SECOND,
  })

/** Settings of the pipelines: short windows, and a day of a minute. */
export function demoDataConfig(
  windowMs: number,
  more: { readonly replayId: string; readonly seed: number },
  capacity = INSTANCE_CAPACITY,
): DataConfig {
  const instances = instanceNames()
  const dayWindows = Math.max(3, Math.round((PHASE_MS * PHASES) / windowMs))
  return dataConfig({
    ...more,
    services: [
      {
        service: SERVICE,
        instances,
        replicas: REPLICAS,
        capacity: (capacity * windowMs) / 1000,
        minInstances: INSTANCES,
        maxInstances: instances.length,
        elastic: true,
      },
    ],
    segments: SEGMENTS,
    windowMs,
    graceMs: Math.min(300, windowMs),
    idleMs: Math.max(2000, 2 * windowMs),
    dayWindows,
    copiesPerWindow: 1,
    leadWindows: 2,
    patienceWindows: 10,
    patternWindows: 10,
    maxPatterns: 2000,
  })
}

/** Settings of the router in front of the instances. */
export const demoRouterConfig = (
  instances: readonly { readonly name: string; readonly url: string }[],
): QueryRouterConfig =>
  queryRouterConfig({
    service: SERVICE,
    instances: instances.map(({ name, url }) => ({ name, url })),
    tables: [{ table: ORDERS.table, keyColumn: ORDERS.keyColumn }],
    port: 0,
    segments: SEGMENTS,
    partitions: PARTITIONS,
    changes: 'header',
  })
