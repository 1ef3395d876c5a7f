import type { RouteBody, ShardBody } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createAckSender, type FollowerHealth } from '#core/dataplane'
import { type Broker, type Clock, isError, type Timers } from '#core/ports'
import {
  createRouteApplier,
  createRouteTable,
  type DefaultRoute,
  type Route,
  type RouteTable,
} from '../../pipelines/traffic-routing/dataplane.ts'
import type { Network } from '#traffic-routing'
import { createFlowTable } from './flow-table.ts'
import { type HaproxyPlane, startHaproxyPlane } from './haproxy-plane.ts'
import type { RequestReport } from './http-load.ts'
import type { DemoNetwork } from './scenario.ts'
import { createShardNotes } from './shard-notes.ts'
import {
  decisionDecoder,
  type FollowerContext,
  type FollowerStatus,
  type TrackedFollower,
  trackFollower,
} from './tracked-follower.ts'
import { createWorld, type World } from './world.ts'

/** Settings of a data plane. */
export interface DataPlaneOptions {
  readonly broker: Broker
  readonly codec: RecordCodec
  /** The clock of the decisions: a replay's moves with the recording. */
  readonly clock: Clock
  readonly network: Network
  /** Null: a recording, of which only routes are known. */
  readonly demo: DemoNetwork | null
  /** Seed and windows of the load: what a region serves follows from them. Defaults 1 and 1,000. */
  readonly seed?: number
  readonly windowMs?: number
  readonly dayMs?: number
  readonly topicPrefix: string
  /** Decisions of other replays are refused. */
  readonly replayId: string
  /** `auto`: with the demo, where HAProxy is installed. */
  readonly useHaproxy: 'auto' | false
  /** Through HAProxy. Default 50. */
  readonly requestsPerSecond?: number
  /** Folder for snapshots of the followers; absent: none are kept. */
  readonly dataDir?: string
  readonly timers?: Timers
  readonly onWarning?: (error: Error) => void
}

/** A part for the page. */
export interface DataPlanePart {
  readonly name: string
  /** `ready` or `absent`. */
  readonly state: string
  readonly detail: string
}

/** Followers that put decisions into force, at a route table and, where it is installed, at a real HAProxy. */
export interface DataPlane {
  /** Where a flow of a stream goes now. */
  route(stream: string, hash32: number): Route
  /** bytes/s that a region serves under the routes in force; 0 for a recording. */
  loadOf(region: string): number
  /** Shards that the followers have been told of. */
  shards(): number
  followers(): FollowerStatus[]
  /** Everything that each follower counts. */
  health(): { id: string; topic: string; health: FollowerHealth }[]
  parts(): DataPlanePart[]
  /** What became of the requests through HAProxy; null without it. */
  requests(): RequestReport | null
  /** Why there is no HAProxy; '' if there is one. */
  readonly haproxyAbsent: string
  /** The port of HAProxy that carries a stream; null without. */
  haproxyPort(stream: string): number | null
  /** Resolves once the decisions that stand now have been handed to the data planes and acknowledged in Kafka (at most 15 s). */
  settled(): Promise<void>
  stop(): Promise<void>
}

const ROUTES = 'decisions.traffic.routes'
const SHARDS = 'decisions.traffic.shards'
const ACKS = 'acks.decisions'
const SETTLE_MS = 15_000
const REQUESTS_PER_SECOND = 50

/** Starts the followers, and HAProxy with a request load where wanted and possible. The topics must exist. */
export async function startDataPlane(options: DataPlaneOptions): Promise<DataPlane> {
  const { broker, codec, clock, demo, topicPrefix, replayId, seed = 1, windowMs = 1000, timers } = options
  await codec.prepare([{ topic: ACKS, record: 'Ack' }])
  const acks = createAckSender({
    broker,
    topic: `${topicPrefix}${ACKS}`,
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock,
    ...(timers === undefined ? {} : { timers }),
  })
  const table = createRouteTable(defaultsOf(options.network))
  const notes = createShardNotes()
  const { dayMs } = options
  const world =
    demo === null
      ? null
      : createWorld({ seed, network: demo, windowMs, ...(dayMs === undefined ? {} : { dayMs }) })
  const loadOf = world === null ? () => 0 : regionLoads(world, table, clock, seed)
  const { haproxy, absent } = await openHaproxy(options, world, seed, loadOf)
  const context: FollowerContext = { ...options, broker, codec, clock, topicPrefix, replayId, acks }
  const decodeRoutes = decisionDecoder(codec, 'RouteDecision')
  const routes = { topic: ROUTES, kind: 'preference', decode: decodeRoutes } as const
  const followers: TrackedFollower[] = [
    trackFollower<RouteBody>(context, { ...routes, id: 'sdk', applier: createRouteApplier(table) }),
    trackFollower<ShardBody>(context, {
      topic: SHARDS,
      kind: 'placement',
      decode: decisionDecoder(codec, 'ShardDecision'),
      id: 'sdk-shards',
      applier: notes.applier,
    }),
    ...(haproxy === null
      ? []
      : [trackFollower<RouteBody>(context, { ...routes, id: 'haproxy', applier: haproxy.applier })]),
  ]
  let stopping: Promise<void> | null = null

  async function stop(): Promise<void> {
    try {
      for (const follower of followers) await follower.stop()
    } finally {
      await haproxy?.stop()
      await acks.close()
    }
  }

  try {
    for (const follower of followers) await follower.start()
  } catch (error) {
    await stop()
    throw error
  }

  return {
    route: (stream, hash32) => table.route(stream, hash32),
    loadOf,
    shards: () => notes.count(),
    followers: () => followers.map((f) => f.status()),
    health: () => followers.map((f) => ({ id: f.id, topic: f.topic, health: f.health() })),
    parts: () => [
      {
        name: 'route table',
        state: 'ready',
        detail: `${options.network.pairs} streams, ${notes.count()} shards`,
      },
      haproxyPart(haproxy, absent),
    ],
    requests: () => haproxy?.requests() ?? null,
    haproxyAbsent: absent,
    haproxyPort: (stream) => haproxy?.portOf(stream) ?? null,
    async settled() {
      await Promise.all(followers.map((f) => f.caughtUpWith(SETTLE_MS)))
      await acks.flushed()
    },
    stop: () => (stopping ??= stop()),
  }
}

/** Without a decision every stream takes its first (shortest) path. */
function defaultsOf({ pairNames, pathIds, regions, firstPath }: Network): {
  defaultRoute: DefaultRoute
  streamDefaults: Record<string, DefaultRoute>
} {
  const routeOf = (path: number): DefaultRoute => ({ region: regions[path] ?? '', path: pathIds[path] ?? '' })
  const streamDefaults = Object.fromEntries(pairNames.map((name, k) => [name, routeOf(firstPath[k] ?? 0)]))
  return { defaultRoute: routeOf(0), streamDefaults }
}

async function openHaproxy(
  { clock, useHaproxy, requestsPerSecond = REQUESTS_PER_SECOND, timers, onWarning }: DataPlaneOptions,
  world: World | null,
  seed: number,
  loadOf: (region: string) => number,
): Promise<{ haproxy: HaproxyPlane | null; absent: string }> {
  if (useHaproxy === false) return { haproxy: null, absent: 'switched off' }
  if (world === null) return { haproxy: null, absent: 'a recording has no servers' }
  try {
    const haproxy = await startHaproxyPlane({
      world,
      clock,
      seed,
      loadOf,
      requestsPerSecond,
      ...(timers === undefined ? {} : { timers }),
      ...(onWarning === undefined ? {} : { onWarning }),
    })
    return { haproxy, absent: '' }
  } catch (error) {
    if (!isError(error, 'SERVICE_MISSING') && !isError(error, 'STACK_FAILED')) throw error
    return { haproxy: null, absent: `${error.message} ${error.cure}` }
  }
}

const LOAD_FRESH_MS = 100

/** bytes/s per region: the demand of every flow goes where the table sends it. Worked out anew after 100 ms. */
function regionLoads(
  world: World,
  table: RouteTable,
  clock: Clock,
  seed: number,
): (region: string) => number {
  const { streams } = world.network
  const flows = createFlowTable(seed, streams)
  const loads = new Map<string, number>()
  let atMs = Number.NaN
  return (region) => {
    const nowMs = clock.nowMs()
    if (!(Math.abs(nowMs - atMs) < LOAD_FRESH_MS)) {
      atMs = nowMs
      loads.clear()
      for (const [k, stream] of streams.entries()) {
        const demand = world.demand(k, nowMs)
        const id = table.streamId(stream.name)
        flows.each(k, (hash32, share) => {
          const to = table.route(id, hash32).region
          loads.set(to, (loads.get(to) ?? 0) + share * demand)
        })
      }
    }
    return loads.get(region) ?? 0
  }
}

function haproxyPart(haproxy: HaproxyPlane | null, absent: string): DataPlanePart {
  if (haproxy === null) return { name: 'haproxy', state: 'absent', detail: absent }
  const { recentShares, sent } = haproxy.requests()
  const shares = Object.entries(recentShares)
    .toSorted((a, b) => b[1] - a[1])
    .map(([region, share]) => `${region} ${Math.round(100 * share)} %`)
  return { name: 'haproxy', state: 'ready', detail: `${sent} requests: ${shares.join(', ')}` }
}
