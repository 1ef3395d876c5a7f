import { ForestallError } from '#core/ports'
import type { Network } from './network.ts'
import { checkShardPolicies, DEFAULT_SHARD_POLICIES, type ShardPolicies } from './shards/index.ts'

/** What traffic-routing is told: the network it routes over, its time scale, and what the operator wants. */
export interface TrafficConfig {
  /** Streams, candidate paths and links. Demands and capacities in bytes per second. */
  readonly network: Network
  /** What is decided together. */
  readonly scope: string
  /** Length of the feature windows, ms. */
  readonly windowMs: number
  /** How long a window waits for records that are out of order, ms. */
  readonly graceMs: number
  /** Partitions of the internal topics and of features.streams. */
  readonly partitions: number
  /** Earliest event time that is believed, ms since 1970. */
  readonly earliestMs: number
  /** A record may be this far ahead of its Kafka timestamp, ms. */
  readonly maxAheadMs: number
  /** A silent source partition holds others up for this long, ms of wall clock. */
  readonly idleMs: number
  readonly maxRecordBytes: number
  /** Seasons in windows (a day, a week). */
  readonly seasons: readonly number[]
  /** Windows forecast ahead. */
  readonly horizon: number
  /** Steps ahead that are published, 1..horizon. */
  readonly publishSteps: readonly number[]
  /** Joint scenarios per decision. */
  readonly draws: number
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
  /** Changes of routes allowed per window over all streams. */
  readonly changesPerWindow: number
  /** Windows between learnings of the fixed plan. */
  readonly learnEvery: number
  /** Windows kept for learning. */
  readonly historyWindows: number
  /** How long the solver may take, ms; then the greedy plan or the standing one is used. */
  readonly solverDeadlineMs: number
  readonly mode: 'dry_run' | 'apply'
  /** What decisions are dated by: the wall clock (live), or the windows they rest on (replays of the past). */
  readonly time: 'wall' | 'event'
  /** '' live; decisions of a replay carry its id. */
  readonly replayId: string
  readonly seed: number
}

/** Defaults for live traffic in windows of 10 s. */
export const DEFAULT_TRAFFIC_CONFIG: Omit<TrafficConfig, 'network'> = {
  scope: 'default',
  windowMs: 10_000,
  graceMs: 500,
  partitions: 4,
  earliestMs: Date.UTC(2000, 0, 1),
  maxAheadMs: 60_000,
  idleMs: 5_000,
  maxRecordBytes: 1 << 20,
  seasons: [8640],
  horizon: 12,
  publishSteps: [1, 6, 12],
  draws: 24,
  streamLimits: {},
  regionRttLimitMs: 250,
  shards: {},
  criticalStreams: [],
  maxShards: 2500,
  churnPrice: 10,
  minGain: 0.01,
  routeLifeMs: 600_000,
  changesPerWindow: 50,
  learnEvery: 360,
  historyWindows: 2016,
  solverDeadlineMs: 100,
  mode: 'apply',
  time: 'wall',
  replayId: '',
  seed: 1,
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

/** Fills in the defaults and checks. Throws CONFIG_INVALID or POLICY_CONTRADICTS naming field, value and cure. */
export function trafficConfig(given: Partial<TrafficConfig> & { readonly network: Network }): TrafficConfig {
  const config = { ...DEFAULT_TRAFFIC_CONFIG, ...given }
  const wrong = (field: string, value: unknown, cure: string) => {
    throw new ForestallError('CONFIG_INVALID', `traffic-routing.${field} = ${JSON.stringify(value)}`, {
      cure,
    })
  }
  const positive = [
    'windowMs',
    'partitions',
    'horizon',
    'draws',
    'maxShards',
    'routeLifeMs',
    'learnEvery',
    'solverDeadlineMs',
  ] as const
  for (const field of positive) if (!(config[field] > 0)) wrong(field, config[field], 'Set a number above 0.')
  if (!(config.graceMs >= 0)) wrong('graceMs', config.graceMs, 'Set 0 or more.')
  if (config.routeLifeMs < 2 * config.windowMs) {
    wrong(
      'routeLifeMs',
      config.routeLifeMs,
      `Set at least two windows (${2 * config.windowMs} ms): routes are renewed once a window.`,
    )
  }
  for (const step of config.publishSteps) {
    if (!(Number.isInteger(step) && step >= 1 && step <= config.horizon)) {
      wrong('publishSteps', config.publishSteps, `Name steps from 1 to horizon (${config.horizon}).`)
    }
  }
  const known = new Set(config.network.pairNames)
  for (const stream of [...config.criticalStreams, ...Object.keys(config.streamLimits)]) {
    if (!known.has(stream)) wrong('criticalStreams/streamLimits', stream, 'Name a stream of the network.')
  }
  config.network.pairNames.forEach((stream, pair) => checkShardPolicies(stream, policiesOf(config, pair)))
  return config
}
