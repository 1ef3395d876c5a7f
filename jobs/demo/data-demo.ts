import { join } from 'node:path'
import { type Clock, mulberry32 } from '#core/ports'
import { END_OF_INPUT_MS, markHeaders, type Worker } from '#core/runtime'
import { dataSharding, segmentOf } from '#data-sharding'
import type { DataStatus } from '#infra/web'
import { type Mover, replicaOrder } from '../../pipelines/data-sharding/dataplane.ts'
import { openPipelines, type Pipelines } from '../open-pipelines.ts'
import { type OpenRouter, openQueryRouter } from '../query-router-open.ts'
import { openMover } from '../query-router-moves.ts'
import { createRouterCollect } from '../metrics-router.ts'
import { createRouterMeter } from '../router-meter.ts'
import { openRouterReports, type RouterReports } from '../router-reports.ts'
import { type Balance, createBalance } from './data-balance.ts'
import { createDataClient, type DataClient } from './data-client.ts'
import { type DataFollowers, followData } from './data-follow.ts'
import { type DataInstances, startDataInstances } from './data-instances.ts'
import type { HotKeys } from './data-keys.ts'
import { createMoveCounts, type MoveCounts } from './data-moves.ts'
import { createLocalScaler, type LocalScaler } from './data-scale.ts'
import { type DataLoad, fillOrders, ORDERS, startDataLoad } from './data-load.ts'
import {
  demoDataConfig,
  demoKeys,
  demoRouterConfig,
  INSERTS_PER_SECOND,
  INSTANCE_CAPACITY,
  instanceNames,
  INSTANCES,
  SERVICE,
} from './data-settings.ts'
import { type DataSummary, statusOf, summaryOf } from './data-status.ts'
import type { SubsystemDemoOptions } from './subsystem-demo.ts'
import type { FollowerStatus } from './tracked-follower.ts'

/** Data-sharding, live: instances, a router in front of them, the pipelines, and a load whose hot set moves. */
export interface DataDemo {
  readonly url: string
  readonly workers: Pipelines['workers']
  metrics: Pipelines['metrics']
  /** Begins the load. */
  begin(): void
  status(): DataStatus
  followers(): FollowerStatus[]
  /** Ends the load, lets the pipelines take in all of it, and counts every row. */
  drain(untilFlushed: (workers: Iterable<readonly [string, Worker]>) => Promise<void>): Promise<void>
  /** After `drain`. */
  summary(): DataSummary
  stop(): Promise<void>
}

/** Settings of the demo; its folder is emptied. */
export interface DataDemoOptions extends SubsystemDemoOptions {
  /** Queries per second that one instance counts as able to do. */
  readonly capacity?: number
}

const BALANCE_EVERY_MS = 5000
const SETTLE_MS = 15_000
/** How long a move can be reversed: the old copy goes then. */
const REVERSIBLE_MS = 5000
const INPUTS = ['logs.queries', 'telemetry.pipelines'] as const

/** What the demo is made of. */
export interface DataParts {
  readonly instances: DataInstances
  readonly pipelines: Pipelines
  /** What the router counts, its replicas and its moves. */
  readonly routerMetrics: Pipelines['metrics']
  readonly opened: OpenRouter
  readonly reports: RouterReports
  readonly followers: DataFollowers
  readonly scaler: LocalScaler
  readonly balance: Balance
  readonly mover: Mover
  readonly moves: MoveCounts
  readonly hotKeys: HotKeys
}

/**
 * Starts instances, pipelines and router, and fills the table. Throws SERVICE_MISSING if the machine has not the memory
 * for the instances.
 */
export async function openDataDemo(options: DataDemoOptions): Promise<DataDemo> {
  const { clock, prefix, onWarning } = options
  const undo: (() => Promise<unknown>)[] = []
  const stop = async (): Promise<void> => {
    for (const end of undo.splice(0).toReversed()) await end().catch(onWarning)
  }
  try {
    const instances = await startDataInstances({
      count: INSTANCES,
      folder: join(options.folder, 'instances'),
      onDied: (name, how) => onWarning(new Error(`ClickHouse ${name} ended by itself: ${how}`)),
    })
    undo.push(() => instances.stop())
    const parts = await openParts(options, instances, undo)
    const client = createDataClient(parts.opened.router.url)
    undo.push(async () => client.close())
    const written = await fillTable(client, parts)
    return demo(options, parts, client, written, stop, prefix, clock)
  } catch (error) {
    await stop()
    throw error
  }
}

async function openParts(
  options: DataDemoOptions,
  instances: DataInstances,
  undo: (() => Promise<unknown>)[],
): Promise<DataParts> {
  const { connections, prefix, replayId, windowMs, seed, clock, onWarning, onFatal } = options
  const names = instanceNames()
  const { capacity = INSTANCE_CAPACITY } = options
  const config = demoDataConfig(windowMs, { replayId, seed }, capacity)
  const pipelines = await openPipelines({
    subsystem: dataSharding,
    connections,
    config,
    prefix,
    slot: 'w0',
    part: 'all',
    clock,
    solver: 'inline',
    sink: 'elsewhere',
    onWarning,
    onFatal,
  })
  undo.push(() => pipelines.stop())
  const { broker, codec } = pipelines
  const shared = { broker, codec, clock, topicPrefix: prefix, onWarning }
  const reports = await openRouterReports({
    ...shared,
    service: SERVICE,
    capacity,
    everyMs: windowMs,
  })
  undo.push(() => reports.close())
  const balance = createBalance(names, BALANCE_EVERY_MS, clock, {
    live: () => instances.list.length,
    hashed: INSTANCES,
  })
  const routerConfig = demoRouterConfig(instances.list)
  const meter = createRouterMeter()
  const opened = await openQueryRouter({
    ...shared,
    config: routerConfig,
    random: mulberry32(seed),
    meter,
    onQuery(query) {
      meter.onQuery(query)
      reports.onQuery(query)
      if (query.keys.length > 0) balance.note(query.instance)
    },
  })
  undo.push(() => opened.stop())
  const moves = createMoveCounts()
  const moving = await openMover({
    ...shared,
    config: routerConfig,
    opened,
    replayId,
    id: 'query-router',
    reversibleMs: REVERSIBLE_MS,
    onPhase(state) {
      meter.onPhase(state.phase)
      moves.onPhase(state)
    },
    onPause(elapsedMs) {
      meter.onPause(elapsedMs)
      moves.onPause(elapsedMs)
    },
  })
  undo.push(() => moving.stop())
  const { mover, follower } = moving
  if (follower === null) throw new RangeError('the mover follows no decisions')
  await pipelines.start()
  const scaler = createLocalScaler({ service: SERVICE, names, instances, router: opened, onWarning })
  const { applier } = scaler
  const following = { ...shared, replayId, service: SERVICE, placement: follower, scaler: applier }
  const followers = await followData(following)
  undo.push(() => scaler.stop())
  undo.push(() => followers.stop())
  const routerMetrics = createRouterCollect({
    broker,
    service: SERVICE,
    opened,
    meter,
    mover: () => moving,
    queryLog: () => reports.counts(),
    onWarning,
  })
  return {
    instances,
    pipelines,
    routerMetrics,
    opened,
    reports,
    followers,
    scaler,
    balance,
    mover,
    moves,
    hotKeys: demoKeys(),
  }
}

/** Creates the table everywhere, as an operator does it through the router, and fills it. */
async function fillTable(client: DataClient, { hotKeys }: DataParts): Promise<Map<string, number>> {
  const { status, text } = await client.ask(ORDERS.create, { 'X-Forestall-Change': 'all' })
  if (status !== 200) throw new Error(`the table of the demo was refused: ${text}`)
  return fillOrders(client, hotKeys.keys)
}

function demo(
  { seed }: DataDemoOptions,
  parts: DataParts,
  client: DataClient,
  written: Map<string, number>,
  stopAll: () => Promise<void>,
  prefix: string,
  clock: Clock,
): DataDemo {
  const { pipelines, opened, reports, followers, balance, hotKeys, instances } = parts
  const { segments } = opened.placement
  const names = instances.list.map(({ name }) => name)
  const homes = replicaOrder(segments, names.length, 1)
  const homeOf = (key: string): string => names[homes[segmentOf(key, segments)]?.[0] ?? 0] ?? ''
  const now: {
    load: DataLoad | null
    audit: Awaited<ReturnType<DataLoad['audit']>> | null
    beganMs: number
  } = {
    load: null,
    audit: null,
    beganMs: 0,
  }
  return {
    url: opened.router.url,
    workers: pipelines.workers,
    metrics: async () => [...(await pipelines.metrics()), ...(await parts.routerMetrics())],
    begin() {
      reports.begin(opened)
      now.beganMs = clock.nowMs()
      now.load = startDataLoad(
        {
          client,
          hotKeys,
          insertsPerSecond: INSERTS_PER_SECOND,
          clock,
          seed,
          onKey: (key) => balance.noteHashed(homeOf(key)),
        },
        written,
      )
    },
    status: () => statusOf(parts, now.load?.report() ?? null),
    followers: () => followers.status(),
    async drain(untilFlushed) {
      await now.load?.stop()
      await reports.close()
      await writeEndMarks(pipelines, prefix, clock)
      await untilFlushed(pipelines.workers)
      await followers.settled(SETTLE_MS)
      now.audit = (await now.load?.audit()) ?? null
    },
    summary: () => summaryOf(parts, now.load?.report() ?? null, now.audit),
    async stop() {
      await now.load?.stop()
      await stopAll()
    },
  }
}

/** Tells every partition of the inputs that no more will come, so that open windows are flushed. */
async function writeEndMarks({ broker }: Pipelines, prefix: string, clock: Clock): Promise<void> {
  const admin = broker.admin()
  const topics = INPUTS.map((name) => `${prefix}${name}`)
  const counts = await admin.partitions(topics)
  await admin.close()
  const producer = broker.producer()
  const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
  for (const [topic, partitions] of counts)
    for (let p = 0; p < partitions; p++) producer.add(topic, p, clock.nowMs(), null, null, headers)
  await producer.flush()
  await producer.close()
}
