import { setTimeout as delay } from 'node:timers/promises'
import { type DataMoveState, type DataShardBody, topicSpec } from '#schemas'
import type { RecordCodec } from '#core/codec'
import { createAckSender, createBrokerSource, createFollower, type Follower } from '#core/dataplane'
import { type Broker, type Clock, type DecisionSource, ForestallError, systemTimers } from '#core/ports'
import { createSegmentStore, viewsOn } from '#infra/query-router'
import {
  createMoveLog,
  createMover,
  createShardApplier,
  type Mover,
  type MovePeer,
  type SegmentWeights,
  segmentSql,
} from '../pipelines/data-sharding/dataplane.ts'
import type { QueryRouterConfig } from './query-router-config.ts'
import type { RouterInstance } from './query-router-instances.ts'
import type { OpenRouter } from './query-router-open.ts'

/** Moves between the instances of an open router, and the decisions that ask for them. */
export interface OpenMover {
  readonly mover: Mover
  /** Null if it follows no decisions. */
  readonly follower: Follower<DataShardBody> | null
  stop(): Promise<void>
}

/** What moves are opened with. */
export interface OpenMoverOptions {
  readonly config: QueryRouterConfig
  readonly opened: OpenRouter
  readonly broker: Broker
  readonly codec: RecordCodec
  readonly clock: Clock
  /** '' for live. */
  readonly topicPrefix?: string
  readonly password?: string
  /** Takes decisions of this replay only, '' live ones; null: follows none. */
  readonly replayId: string | null
  /** Who acknowledges. */
  readonly id: string
  /** Keeps what stands, to restart without Kafka. */
  readonly snapshotFile?: string
  readonly reversibleMs?: number
  /** Asked before each statement that changes an instance. Default: always. */
  readonly mayApply?: () => boolean
  readonly onPhase?: (state: DataMoveState) => void
  readonly onPause?: (elapsedMs: number) => void
  readonly onWarning: (error: Error) => void
}

const DECISIONS = 'decisions.data.shards'
const ACKS = 'acks.decisions'
const MOVES = 'state.data.moves'
const LOOK_MS = 100

/** Opens the mover of a router: from then on it says who answers reads. Its topics are created if they are missing. */
export async function openMover(options: OpenMoverOptions): Promise<OpenMover> {
  const { config, opened, broker, codec, clock, topicPrefix = '', onWarning } = options
  const { service, segments, partitions } = config
  const names = replayTopics(topicPrefix)
  await ensureTopics(broker, topicPrefix)
  await codec.prepare([
    { topic: names.moves, record: 'DataMoveState' },
    { topic: ACKS, record: 'Ack' },
  ])
  const user = config.user === undefined ? [] : ['X-ClickHouse-User', config.user]
  const credentials = user.length === 0 ? [] : [...user, 'X-ClickHouse-Key', options.password ?? '']
  const peers = createPeers(opened, credentials, options.mayApply)
  const weights = new Map<number, SegmentWeights>()
  const place = (segment: number, readers: readonly string[]): void =>
    opened.placement.set(segment, weighted(readers, weights.get(segment)))
  const stopping = new AbortController()
  const carrier = createMover({
    service,
    segments,
    partitions,
    peers: peers.list,
    isConfigured: (name) => opened.instances().some((it) => it.name === name),
    tablesOf: (segment) =>
      config.tables.map(({ database, table, keyColumn }) => ({
        database,
        table,
        condition: `${segmentSql(keyColumn, segments)} = ${segment}`,
      })),
    log: createMoveLog({ broker, codec, topic: names.moves, service, clock }),
    clock,
    timers: systemTimers,
    onReaders: place,
    onWarning,
    ...(options.reversibleMs === undefined ? {} : { reversibleMs: options.reversibleMs }),
    ...(options.onPhase === undefined ? {} : { onPhase: options.onPhase }),
    ...(options.onPause === undefined ? {} : { onPause: options.onPause }),
  })
  const mover: Mover = {
    ...carrier,
    async move(segment, move) {
      for (const name of [move.from, move.to]) {
        await answering(opened, name, stopping.signal)
        await refuseViews(opened, name, config, credentials)
      }
      return carrier.move(segment, move)
    },
  }
  await mover.start()
  opened.placeBy(() => {
    peers.follow()
    for (let segment = 0; segment < segments; segment++) place(segment, mover.readers(segment))
  })

  const acks = createAckSender({
    broker,
    topic: names.acks,
    encode: (ack) => codec.encode(ACKS, 'Ack', ack),
    clock,
  })
  const { replayId } = options
  const follower =
    replayId === null
      ? null
      : createFollower<DataShardBody>({
          ...createShardApplier({
            service,
            segments,
            mover,
            async ready(name) {
              if (!opened.instances().some((it) => it.name === name))
                throw new ForestallError('NOT_FOUND', `There is no instance ${name}.`)
              await answering(opened, name, stopping.signal)
            },
            onWeights(segment, wanted) {
              if (wanted === null) weights.delete(segment)
              else weights.set(segment, wanted)
              place(segment, mover.readers(segment))
            },
          }),
          id: options.id,
          source: ofService(
            createBrokerSource(broker, names.decisions, (value) =>
              codec.decodeAsync(value, 0, value.length, 'DataShardDecision'),
            ),
            service,
          ),
          ...(options.snapshotFile === undefined ? {} : { snapshotFile: options.snapshotFile }),
          sendAck: (ack) => acks.send(ack),
          clock,
          kind: 'placement',
          replayId,
          onWarning,
        })
  await follower?.start()
  return {
    mover,
    follower,
    async stop() {
      stopping.abort()
      // The follower waits for moves under way, which only end with the mover.
      await Promise.all([follower?.stop(), mover.stop()])
      opened.placeBy(null)
      await acks.close()
      peers.close()
    },
  }
}

/** Resolves once the log is applied at an instance, if there is one of that name. Throws REPLICA_LATE at a stop. */
async function answering(opened: OpenRouter, name: string, signal: AbortSignal): Promise<void> {
  const isAway = (): boolean => opened.instances().some((it) => it.name === name && !it.isApplied)
  while (isAway() && !signal.aborted) await delay(LOOK_MS)
  if (signal.aborted)
    throw new ForestallError('REPLICA_LATE', `Instance ${name} has not answered until the stop.`)
}

/** Rows that move do not go through the views on their table: their targets would keep what has left, and miss what came. */
async function refuseViews(
  opened: OpenRouter,
  name: string,
  { tables }: QueryRouterConfig,
  credentials: readonly string[],
): Promise<void> {
  const found = opened.instances().find((it) => it.name === name)
  if (found === undefined) return
  const views = await viewsOn(found.url, tables, credentials)
  if (views.length === 0) return
  throw new ForestallError(
    'DATA_PLANE_REFUSED',
    `Sharded tables of instance ${name} feed the materialised views ${views.join(', ')}, which a move would leave wrong.`,
    { cure: 'Drop the views, or keep their segments where they are: decisions in dry run (mode).' },
  )
}

/**
 * The instances of a router as moves see them; the list is kept, and changes with `follow`. One that has yet to answer is
 * left out: moves from and to it wait.
 */
function createPeers(opened: OpenRouter, credentials: readonly string[], mayApply?: () => boolean) {
  const list: MovePeer[] = []
  const stores = new Map<RouterInstance, ReturnType<typeof createSegmentStore>>()
  function follow(): void {
    const present = opened.instances()
    for (const [instance, store] of stores) {
      if (present.includes(instance)) continue
      stores.delete(instance)
      store.close()
    }
    for (const it of present)
      if (!stores.has(it)) stores.set(it, createSegmentStore(it.url, credentials, mayApply))
    const peers = [...stores].flatMap(([{ name, isApplied, applier }, store]): MovePeer[] =>
      isApplied && applier !== null ? [{ name, applier, store }] : [],
    )
    list.splice(0, Infinity, ...peers)
  }
  follow()
  return {
    list,
    follow,
    close(): void {
      for (const store of stores.values()) store.close()
    },
  }
}

/** The decisions about one service: others on the topic are another router's. */
export function ofService<Body>(source: DecisionSource<Body>, service: string): DecisionSource<Body> {
  return {
    ...source,
    start: (handler) =>
      source.start({
        ...handler,
        onDecision: (event) =>
          event.entity.startsWith(`${service}/`) ? handler.onDecision(event) : undefined,
      }),
  }
}

const replayTopics = (prefix: string) => ({
  moves: `${prefix}${MOVES}`,
  acks: `${prefix}${ACKS}`,
  decisions: `${prefix}${DECISIONS}`,
})

async function ensureTopics(broker: Broker, prefix: string): Promise<void> {
  const admin = broker.admin()
  try {
    const existing = new Set(await admin.listTopics())
    const specs = [MOVES, ACKS, DECISIONS].map((name) => topicSpec(name, { prefix }))
    await admin.ensureTopics(specs.filter(({ name }) => !existing.has(name)))
  } finally {
    await admin.close()
  }
}

/** Shares as decided among those that answer; equal ones where the decision says nothing of any of them. */
function weighted(readers: readonly string[], wanted: SegmentWeights | undefined) {
  const shares = readers.map((name) => wanted?.get(name) ?? 0)
  const total = shares.reduce((sum, share) => sum + share, 0)
  return readers.map((instance, i) => ({
    instance,
    weight: total > 0 ? (shares[i] as number) / total : 1 / readers.length,
  }))
}
