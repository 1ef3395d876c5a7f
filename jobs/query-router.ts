import { hostname } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import { topicName } from '#schemas'
import { systemClock } from '#core/ports'
import type { MetricsServer } from '#infra/observability'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec } from './connect.ts'
import { errorLines, type ExitCode } from './errors-exit.ts'
import { readQueryRouterConfig } from './query-router-config.ts'
import { createRouterCollect } from './metrics-router.ts'
import { createLease, type Lease, LEASE_SESSION_MS } from './query-router-lease.ts'
import { type OpenMover, openMover } from './query-router-moves.ts'
import { type OpenRouter, openQueryRouter } from './query-router-open.ts'
import { reloadOnHangUp } from './query-router-reload.ts'
import { createRouterMeter } from './router-meter.ts'
import { openRouterReports, type RouterReports } from './router-reports.ts'
import { serveMetrics } from './serve-metrics.ts'
import { signalled } from './signals.ts'

/** `forestall query-router`. */
export interface QueryRouterArgs extends CommonArgs {
  /** JSON file: service, instances, tables, policies. */
  readonly file: string
  /** Keeps the placement that stands, to restart without Kafka. */
  readonly snapshotFile?: string
  /** Takes decisions of this replay only; '': live ones. */
  readonly replayId: string
  readonly forMs: number | null
  /** Port of `/metrics`; null: none. */
  readonly metricsPort: number | null
  readonly metricsHost: string
  readonly dataDir: string
}

/** How long a router waits for somebody to hold what it is to route, before it says that it is there. */
const PLACED_WITHIN_MS = 15_000
const SETTLED_LOOK_MS = 50

const warn = (error: Error): void => {
  process.stderr.write(`warning: ${errorLines(error)[0]}\n`)
}
const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** Runs a query router until it is told to stop. */
export async function runQueryRouter(asked: QueryRouterArgs): Promise<ExitCode> {
  const config = readQueryRouterConfig(asked.file)
  const found = findConnections(asked.dataDir)
  const args = { ...asked, replayId: await findReplay(found, asked.replayId) }
  const topicPrefix = replayPrefix(args.replayId)
  // Nobody else listens there: whoever did is dead.
  const slot = config.port === 0 ? undefined : `${hostname()}:${config.host}:${config.port}`
  const codec = await openCodec(found)
  const broker = await openBroker(found, `forestall-query-router-${config.service}`)
  const secret = process.env['FORESTALL_ROUTER_PASSWORD']
  const password = secret === undefined ? {} : { password: secret }
  const shared = { broker, codec, clock: systemClock, topicPrefix, onWarning: warn }
  const signals = signalled()
  const stopping = new AbortController()
  const meter = createRouterMeter()
  void signals.stopped.then(() => stopping.abort())
  let opened: OpenRouter | null = null
  let reports: RouterReports | null = null
  let metrics: MetricsServer | null = null
  let moves: OpenMover | null = null
  let lease: Lease | null = null
  let reload: ReturnType<typeof reloadOnHangUp> | null = null

  const mayApply = (): boolean => lease?.isHeld() === true
  let settledAtMs = 0

  /** Whoever took over at once waits here for what the router before it may have sent, as long as a session is. */
  async function settled(): Promise<void> {
    while (performance.now() < settledAtMs && mayApply()) await delay(SETTLED_LOOK_MS)
  }

  /** One router of a service applies its log, moves its segments, and speaks for the instances. */
  async function lead(router: OpenRouter): Promise<void> {
    settledAtMs = slot === undefined ? 0 : performance.now() + LEASE_SESSION_MS
    await router.lead()
    await settled()
    moves = await openMover({
      ...shared,
      ...password,
      config,
      opened: router,
      replayId: args.replayId,
      mayApply,
      id: `${hostname()}:query-router:${config.service}`,
      onPhase({ segment, from, to, phase }) {
        meter.onPhase(phase)
        say(`segment ${segment} ${from} -> ${to || 'none'}: ${phase}`)
      },
      onPause: (elapsedMs) => meter.onPause(elapsedMs),
      ...(args.snapshotFile === undefined ? {} : { snapshotFile: args.snapshotFile }),
    })
    reports?.begin(router)
    say(`${config.service}: this router applies the log`)
  }

  async function standBy(router: OpenRouter): Promise<void> {
    await reports?.end()
    await moves?.stop()
    moves = null
    await router.standBy()
    say(`${config.service}: this router stands by`)
  }

  try {
    reports = await openRouterReports({ ...shared, service: config.service, capacity: 0 })
    const told = reports
    const router = await openQueryRouter({
      ...shared,
      ...password,
      config,
      standsBy: true,
      mayApply,
      settled,
      meter,
      onQuery(query) {
        meter.onQuery(query)
        told.onQuery(query)
      },
    })
    opened = router
    if (config.apply) {
      lease = createLease({
        broker,
        groupId: `${router.topic}.router`,
        topic: topicName('state.data.moves', topicPrefix),
        ...(slot === undefined ? {} : { slot }),
        onTaken: () => lead(router),
        onLost: () => standBy(router),
        onWarning: warn,
      })
      lease.start()
    }
    await router.placed(AbortSignal.any([AbortSignal.timeout(PLACED_WITHIN_MS), stopping.signal]))
    reload = reloadOnHangUp(args.file, config, router, say)
    const { url } = router.router
    const collect = createRouterCollect({
      broker,
      service: config.service,
      opened: router,
      meter,
      mover: () => moves,
      queryLog: () => told.counts(),
      onWarning: warn,
    })
    metrics = await serveMetrics(args, collect, warn)
    const line = { url, service: config.service, instances: config.instances.length, log: router.topic }
    process.stdout.write(
      args.json
        ? `${JSON.stringify(line)}\n`
        : `${config.service}: queries to ${url}, health at ${url}/forestall/health\n`,
    )
    const over = args.forMs === null ? [] : [delay(args.forMs, undefined, { ref: false })]
    await Promise.race([signals.stopped, ...over])
  } finally {
    signals.release()
    await metrics?.stop()
    await reload?.stop()
    // Inserts under way are acknowledged by what the log is applied with.
    await opened?.drain()
    await lease?.close()
    await opened?.stop()
    await reports?.close()
    await broker.close()
  }
  return 0
}
