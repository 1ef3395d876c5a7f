import { DEFAULT_DECISION_SETTINGS, type DecisionSettings } from '#core/decisions'
import { type Refuse, refusing } from '#core/features'
import { checkSeriesSettings, DEFAULT_SERIES_SETTINGS, type SeriesSettings } from '#core/subsystem'
import type { Network } from './network.ts'
import { checkShardPolicies, DEFAULT_SHARD_POLICIES, type ShardPolicies } from './shards/index.ts'

/** What traffic-routing is told: the network it routes over, its time scale, and what the operator wants. */
export interface TrafficConfig extends SeriesSettings, DecisionSettings {
  /** Streams, candidate paths and links. Demands and capacities in bytes per second. */
  readonly network: Network
  /** Limit per stream, bytes per second; above it is the bad event that its risk speaks of. Default: 70 % of the smallest link of its default path. */
  readonly streamLimits: Readonly<Record<string, number>>
  /** Round trip of a region above which it counts as degraded, ms. */
  readonly regionRttLimitMs: number
  readonly shards: Readonly<Partial<ShardPolicies>>
  /** Streams that carry critical data. */
  readonly criticalStreams: readonly string[]
  /** Most shards of all streams together. */
  readonly maxShards: number
  /** Price of moving all traffic once, in ms of mean latency. */
  readonly churnPrice: number
  /** Least saving, as a share of the present cost, for which routes change. */
  readonly minGain: number
  /** Life of a route decision, ms. */
  readonly routeLifeMs: number
  /** A round that is over for longer than this many windows is not decided any more. */
  readonly staleWindows: number
  /** Changes of routes allowed per window over all streams. */
  readonly changesPerWindow: number
  /** Windows between learnings of the fixed plan. */
  readonly learnEvery: number
  /** Windows kept for learning. */
  readonly historyWindows: number
  /** How long the solver may take, ms; then the greedy plan or the standing one is used. */
  readonly solverDeadlineMs: number
}

/** Defaults for live traffic in windows of 10 s. */
export const DEFAULT_TRAFFIC_CONFIG: Omit<TrafficConfig, 'network'> = {
  ...DEFAULT_SERIES_SETTINGS,
  ...DEFAULT_DECISION_SETTINGS,
  seasons: [8640],
  streamLimits: {},
  regionRttLimitMs: 250,
  shards: {},
  criticalStreams: [],
  maxShards: 2500,
  churnPrice: 10,
  minGain: 0.01,
  routeLifeMs: 600_000,
  staleWindows: 4,
  changesPerWindow: 50,
  learnEvery: 360,
  historyWindows: 2016,
  solverDeadlineMs: 100,
}

/** Regions that a stream can reach, each once. */
export function regionsOf(network: Network, pair: number): string[] {
  const regions = new Set<string>()
  for (let p = network.firstPath[pair] as number; p < (network.firstPath[pair + 1] as number); p++) {
    regions.add(network.regions[p] as string)
  }
  return [...regions]
}

/** The shard policies of one stream: the configured ones on top of the defaults. */
export function policiesOf(config: TrafficConfig, pair: number): ShardPolicies {
  const critical = config.criticalStreams.includes(config.network.pairNames[pair] as string)
  return { ...DEFAULT_SHARD_POLICIES, ...config.shards, critical, regions: regionsOf(config.network, pair) }
}

const POSITIVE = ['maxShards', 'routeLifeMs', 'staleWindows', 'learnEvery', 'solverDeadlineMs'] as const

/** Fills in the defaults and checks. Throws CONFIG_INVALID or POLICY_CONTRADICTS naming field, value and cure. */
export function trafficConfig(given: Partial<TrafficConfig> & { readonly network: Network }): TrafficConfig {
  const config = { ...DEFAULT_TRAFFIC_CONFIG, ...given }
  const wrong: Refuse = refusing('traffic-routing')
  checkSeriesSettings(config, POSITIVE, wrong)
  if (config.routeLifeMs < 2 * config.windowMs) {
    wrong(
      'routeLifeMs',
      config.routeLifeMs,
      `Set at least two windows (${2 * config.windowMs} ms): routes are renewed once a window.`,
    )
  }
  const known = new Set(config.network.pairNames)
  for (const stream of [...config.criticalStreams, ...Object.keys(config.streamLimits)]) {
    if (!known.has(stream)) wrong('criticalStreams/streamLimits', stream, 'Name a stream of the network.')
  }
  config.network.pairNames.forEach((stream, pair) => checkShardPolicies(stream, policiesOf(config, pair)))
  return config
}
