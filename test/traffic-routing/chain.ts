import type { Flow, RegionFeature, RegionProbe, RouteDecision, ShardDecision, StreamFeature } from '#schemas'
import { type ManualClock, manualClock } from '#core/ports'
import type { Topology } from '#core/runtime'
import { createInlineSolver } from '#infra/solver'
import {
  createNetwork,
  decisionsTopology,
  featuresTopology,
  forecastsTopology,
  type TrafficConfig,
  trafficConfig,
} from '#traffic-routing'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'

/** Start of the first window, ms since 1970: a multiple of every window length used. */
export const START_MS = Date.UTC(2026, 0, 5)

/** A network of two sites and three regions, small enough to reason about: each site has its own region near by. */
export const tinyNetwork = () =>
  createNetwork(
    [
      { name: 'a-east', capacity: 2000, latencyMs: 5 },
      { name: 'a-west', capacity: 2000, latencyMs: 30 },
      { name: 'b-east', capacity: 2000, latencyMs: 30 },
      { name: 'b-west', capacity: 2000, latencyMs: 5 },
      { name: 'a-south', capacity: 2000, latencyMs: 40 },
      { name: 'b-south', capacity: 2000, latencyMs: 40 },
      { name: 'east', capacity: 1000, latencyMs: 1 },
      { name: 'west', capacity: 1000, latencyMs: 1 },
      { name: 'south', capacity: 1000, latencyMs: 1 },
    ],
    [
      {
        name: 'a>web',
        paths: [
          { region: 'east', links: [0, 6] },
          { region: 'west', links: [1, 7] },
          { region: 'south', links: [4, 8] },
        ],
      },
      {
        name: 'b>api',
        paths: [
          { region: 'west', links: [3, 7] },
          { region: 'east', links: [2, 6] },
          { region: 'south', links: [5, 8] },
        ],
      },
    ],
  )

/** Settings for `tinyNetwork` in windows of a second, dated by the windows. */
export const tinyConfig = (over: Partial<TrafficConfig> = {}): TrafficConfig =>
  trafficConfig({
    network: tinyNetwork(),
    windowMs: 1000,
    graceMs: 0,
    partitions: 2,
    seasons: [30],
    draws: 8,
    routeLifeMs: 20_000,
    learnEvery: 1000,
    shards: { cap: 0.3 },
    time: 'event',
    ...over,
  })

/** A valid flow; `over` changes what a case is about. */
export const flowOf = (over: Partial<Flow> = {}): Flow => ({
  event_time_ms: START_MS,
  origin: 'test',
  stream: 'a>web',
  bytes: 100,
  packets: 2,
  protocol: 6,
  src_port: 1,
  dst_port: 443,
  flow_hash: 0,
  duration_ms: 1,
  src_addr: '10.0.0.1',
  dst_addr: '10.0.0.2',
  src_region: 'a',
  dst_region: 'east',
  sampling_rate: 1,
  ...over,
})

/** A probe of a healthy region. */
export const probeOf = (over: Partial<RegionProbe> = {}): RegionProbe => ({
  event_time_ms: START_MS,
  origin: 'test',
  region: 'east',
  up: true,
  rtt_ms: 2,
  jitter_ms: 0.1,
  loss_ratio: 0,
  error_ratio: 0,
  bytes_per_second: 100,
  capacity_bytes_per_second: 1000,
  price_per_gb: 0.05,
  ...over,
})

/** Features of a stream in the first window, spread evenly over its ring. */
export const streamRow = (stream: string, bytesPerSecond: number): StreamFeature => ({
  stream,
  window_start_ms: START_MS,
  window_end_ms: START_MS + 1000,
  records: 1,
  bytes: bytesPerSecond,
  packets: 1,
  bytes_per_second: bytesPerSecond,
  packet_bytes_mean: 1,
  packet_bytes_p50: 1,
  packet_bytes_p95: 1,
  tcp_share: 1,
  udp_share: 0,
  sources: 1,
  destinations: 1,
  incomplete: false,
  ring_bytes: Array.from({ length: 64 }, () => bytesPerSecond / 64),
})

/** Features of a region that is well. */
export const regionRow = (region: string, over: Partial<RegionFeature> = {}): RegionFeature => ({
  region,
  window_start_ms: START_MS,
  window_end_ms: START_MS + 1000,
  records: 4,
  up_ratio: 1,
  rtt_ms_mean: 2,
  rtt_ms_p95: 2,
  jitter_ms_mean: 0,
  loss_ratio_mean: 0,
  error_ratio_mean: 0,
  bytes_per_second_mean: 0,
  capacity_bytes_per_second_min: 1000,
  price_per_gb_mean: 0,
  incomplete: false,
  ...over,
})

const PARTITIONS = {
  'telemetry.flows': 2,
  'telemetry.regions': 2,
  'features.streams': 2,
  'features.regions': 2,
}

/** What every window brings: bytes per stream, and the regions that are not as `probeOf` has them. */
export interface WindowInput {
  readonly bytes: Readonly<Record<string, number>>
  readonly regions?: Readonly<Record<string, Partial<RegionProbe>>>
}

/** The three topologies on one driver, fed window by window. */
export interface Chain {
  readonly driver: TestDriver
  readonly clock: ManualClock
  readonly config: TrafficConfig
  /** Writes the next window and lets everything work; `commit: false` leaves the last step to be lost in a crash. */
  window(input: WindowInput, options?: { commit?: boolean }): Promise<void>
  routes(): RouteDecision[]
  shards(): ShardDecision[]
}

/** A stream that the network does not have: it only moves time on. */
export const CLOCK = 'clock>only'
/** Flows of a stream per window, spread evenly over the ring. */
const FLOWS = 16

/** Makes a chain; what stands is read back from the decisions committed so far. */
export async function createChain(config: TrafficConfig): Promise<Chain> {
  const clock = manualClock(START_MS)
  const solvers = { inline: await createInlineSolver() }
  const held: { driver?: TestDriver } = {}
  const latest = <D extends { entity: string }>(records: readonly D[]) =>
    new Map(records.map((record) => [record.entity, record]))
  const readStanding = async () => ({
    routes: latest(held.driver?.output('decisions.traffic.routes', 'RouteDecision') ?? []),
    shards: latest(held.driver?.output('decisions.traffic.shards', 'ShardDecision') ?? []),
  })
  const topologies: Topology[] = [
    featuresTopology(config),
    forecastsTopology(config),
    decisionsTopology(config, { clock, solvers, readStanding }),
  ]
  const driver = await createTestDriver(topologies, { partitions: PARTITIONS, clock })
  held.driver = driver
  const regions = [...new Set(config.network.regions)]
  let window = 0
  return {
    driver,
    clock,
    config,
    async window({ bytes, regions: changed = {} }, options) {
      const startMs = START_MS + window++ * config.windowMs
      clock.set(startMs + config.windowMs)
      for (const [stream, total] of Object.entries(bytes)) {
        for (let i = 0; i < FLOWS; i++) {
          const flow = {
            event_time_ms: startMs + Math.floor((i * config.windowMs) / FLOWS),
            stream,
            bytes: total / FLOWS,
            flow_hash: ((i + 0.5) * 2 ** 32) / FLOWS,
          }
          driver.pipe('telemetry.flows', i % 2, 'Flow', flowOf(flow))
        }
      }
      // Time goes on by the first event of the next window: of a stream that is not routed, and of the last region.
      const endMs = startMs + config.windowMs
      for (const partition of [0, 1]) {
        driver.pipe('telemetry.flows', partition, 'Flow', flowOf({ event_time_ms: endMs, stream: CLOCK }))
        for (const region of regions) {
          const probe = { ...changed[region], region, event_time_ms: startMs + partition }
          driver.pipe('telemetry.regions', partition, 'RegionProbe', probeOf(probe))
        }
        const closing = probeOf({ event_time_ms: endMs, region: regions.at(-1) ?? '' })
        driver.pipe('telemetry.regions', partition, 'RegionProbe', closing)
      }
      await driver.run(options)
    },
    routes: () => driver.output('decisions.traffic.routes', 'RouteDecision'),
    shards: () => driver.output('decisions.traffic.shards', 'ShardDecision'),
  }
}
