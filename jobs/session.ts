import {
  type Broker,
  type Clock,
  ForestallError,
  type ManualClock,
  manualClock,
  systemClock,
} from '#core/ports'
import { END_OF_INPUT_MS, markHeaders, type Worker } from '#core/runtime'
import { externalParts, type PartDeath, startStack, type Stack, type StackProgress } from '#infra/local'
import { type TrafficConfig, trafficRouting } from '#traffic-routing'
import type { UpArgs } from './args.ts'
import { type DataPlane, startDataPlane } from './demo/data-plane.ts'
import { type RunningProcessors, startProcessors } from './demo/processors.ts'
import { replayFolder } from './demo/replay-source.ts'
import { runLoad } from './demo/run-load.ts'
import { type DemoNetwork, demoNetwork } from './demo/scenario.ts'
import { datasetNetwork, demoConfig, replayConfig } from './session-config.ts'
import { createTruth, type Truth } from './demo/accounting.ts'
import { openPipelines, type Pipelines } from './open-pipelines.ts'
import { type Beside, startBeside } from './session-beside.ts'

/** Everything of one run: stack, pipelines, data plane, and what feeds them. */
export interface Session {
  readonly stack: Stack
  readonly pipelines: Pipelines
  readonly dataPlane: DataPlane
  /** A processor per region; null for a recording, which names no regions. */
  readonly processors: RunningProcessors | null
  /** The subsystems beside it, without those that are left out or cannot run here. */
  readonly beside: readonly Beside[]
  readonly config: TrafficConfig
  /** Prefix of the topics of this run. */
  readonly prefix: string
  /** What has been written and acknowledged. */
  truth(): Truth
  /** Resolves when the input has ended by itself (a replay); a generated load never does. */
  readonly ended: Promise<void>
  /** Ends the input and waits until every open window is flushed, decided on and in the warehouse. */
  drain(): Promise<void>
  stop(): Promise<void>
}

/** What a session tells while it runs. */
export interface SessionEvents {
  readonly onProgress: (event: StackProgress) => void
  readonly onPhase: (phase: string) => void
  readonly onWarning: (error: Error) => void
  readonly onFatal: (error: Error) => void
}

const DRAIN_LOOK_MS = 50
const DRAIN_LIMIT_MS = 180_000
const RECORDS_PER_SECOND = 2000

const partDied = ({ part, how, logFile }: PartDeath): ForestallError =>
  new ForestallError(
    'STACK_FAILED',
    `${part} ended by itself: ${how}${logFile === undefined ? '' : `; see ${logFile}`}`,
  )

/** Starts everything for one run under a prefix of its own: what an earlier run left behind cannot mix in. */
export async function startSession(args: UpArgs, events: SessionEvents): Promise<Session> {
  const replayId = `${args.replayId ?? (args.data === null ? 'demo' : 'replay')}-${systemClock.nowMs().toString(36)}`
  const prefix = `${replayId}.`
  const demo = args.data === null ? demoNetwork(args.streams) : null
  const config = demo
    ? demoConfig(args, demo, replayId)
    : replayConfig(await datasetNetwork(args.data as string), args, replayId)
  const replayClock: ManualClock = manualClock(0)
  const clock: Clock = demo ? systemClock : replayClock
  events.onPhase('starting the stack')
  const stack = await startStack({
    ...externalParts(process.env),
    dataDir: args.dataDir,
    onProgress: events.onProgress,
    onPartDied: (death) => events.onFatal(partDied(death)),
  })
  try {
    events.onPhase('creating topics and tables')
    const pipelines = await openPipelines({
      subsystem: trafficRouting,
      connections: stack.connections,
      config,
      prefix,
      slot: 'w0',
      part: 'all',
      sink: 'now',
      clock: systemClock,
      solver: demo ? 'thread' : 'inline',
      onRound: (timeMs) => replayClock.set(Math.max(replayClock.nowMs(), timeMs)),
      onWarning: events.onWarning,
      onFatal: events.onFatal,
    })
    await pipelines.start()
    events.onPhase('starting the data plane')
    const dataPlane = await startDataPlane({
      broker: pipelines.broker,
      codec: pipelines.codec,
      clock,
      network: config.network,
      demo,
      topicPrefix: prefix,
      replayId,
      useHaproxy: demo ? 'auto' : false,
      seed: args.seed,
      windowMs: config.windowMs,
      onWarning: events.onWarning,
    })
    const processors = demo
      ? await startProcessors({
          broker: pipelines.broker,
          codec: pipelines.codec,
          clock,
          regions: demo.regions.map((region) => region.name),
          defaultRegion: demo.regions[0]?.name ?? '',
          topicPrefix: prefix,
          replayId,
          onWarning: events.onWarning,
        })
      : null
    const beside = demo ? await startBeside(args, stack, replayId, events) : []
    const source = await startSource(args, demo, config, pipelines, dataPlane, prefix, events)
    for (const it of beside) it.demo.begin()
    events.onPhase('running')
    return session({ stack, pipelines, dataPlane, processors, beside, config, prefix }, source)
  } catch (error) {
    await stack.stop()
    throw error
  }
}

/** What feeds the pipelines: the same for a generated load and a recording. */
interface Source {
  readonly truth: Truth
  readonly ended: Promise<void>
  /** Ends it; with end marks, so that every open window is flushed, unless told not to. */
  stop(options?: { endMarks: boolean }): Promise<void>
}

async function startSource(
  args: UpArgs,
  demo: DemoNetwork | null,
  config: TrafficConfig,
  pipelines: Pipelines,
  dataPlane: DataPlane,
  prefix: string,
  events: SessionEvents,
): Promise<Source> {
  if (demo === null) return startReplay(args, config, pipelines, prefix, events)
  const { broker, codec } = pipelines
  const load = await runLoad({
    broker,
    codec,
    topicPrefix: prefix,
    clock: systemClock,
    seed: args.seed,
    network: demo,
    windowMs: config.windowMs,
    recordsPerSecond: RECORDS_PER_SECOND,
    loadOf: (region) => dataPlane.loadOf(region),
    onError: events.onWarning,
  })
  return {
    truth: load.truth,
    ended: new Promise(() => undefined),
    stop: async (options) => void (await load.stop(options ?? {})),
  }
}

async function startReplay(
  args: UpArgs,
  config: TrafficConfig,
  { broker, codec }: Pipelines,
  prefix: string,
  events: SessionEvents,
): Promise<Source> {
  // A dataset has no probes: their input ends before it begins, so that nobody waits for them.
  await endTopic(broker, `${prefix}telemetry.regions`)
  const truth = createTruth(config.windowMs)
  const abort = new AbortController()
  const running = replayFolder({
    broker,
    codec,
    clock: systemClock,
    topicPrefix: prefix,
    truth,
    folder: args.data as string,
    speed: Number.isFinite(args.speed) ? args.speed : 'max',
    replayId: config.replayId,
    windowMs: config.windowMs,
    signal: abort.signal,
    onProgress: ({ rows, eventTimeMs }) =>
      events.onPhase(`replaying: ${rows} rows, ${new Date(eventTimeMs).toISOString()}`),
  })
  running.catch((error: unknown) => events.onFatal(error as Error))
  return {
    truth,
    ended: running.then(() => undefined),
    async stop() {
      abort.abort()
      await running.catch(() => undefined)
    },
  }
}

async function endTopic(broker: Broker, topic: string): Promise<void> {
  const admin = broker.admin()
  const partitions = (await admin.partitions([topic])).get(topic) ?? 0
  await admin.close()
  const producer = broker.producer()
  const headers = markHeaders({ origin: 'end', watermarkMs: END_OF_INPUT_MS, idle: false })
  for (let p = 0; p < partitions; p++) producer.add(topic, p, systemClock.nowMs(), null, null, headers)
  await producer.flush()
  await producer.close()
}

function session(parts: Omit<Session, 'truth' | 'ended' | 'drain' | 'stop'>, source: Source): Session {
  const { stack, pipelines, dataPlane, processors, beside } = parts
  let stopped = false
  return {
    ...parts,
    truth: () => source.truth,
    ended: source.ended,
    async drain() {
      await source.stop()
      await untilFlushed(pipelines.workers)
      await dataPlane.settled()
      if (processors && !(await processors.drained(DRAIN_LIMIT_MS))) {
        throw tooSlow('the regional processors are not done')
      }
      for (const { demo } of beside) await demo.drain(untilFlushed)
      await within(DRAIN_LIMIT_MS, pipelines.sink.drained(), 'the warehouse has not taken in every topic')
    },
    async stop() {
      if (stopped) return
      stopped = true
      await source.stop({ endMarks: false })
      for (const { demo } of beside.toReversed()) await demo.stop()
      await processors?.stop()
      await dataPlane.stop()
      await pipelines.stop()
      await stack.stop()
    },
  }
}

/** What was not flushed in time, so that nothing can be accounted for. */
const tooSlow = (what: string, which = ''): ForestallError =>
  new ForestallError(
    'STACK_FAILED',
    `${what} within ${DRAIN_LIMIT_MS / 1000} s of the end of the input${which === '' ? '' : `: ${which}`}`,
    {
      cure: 'The machine may be too slow for this load: take fewer --streams, or --subsystems traffic. Warnings above say more.',
    },
  )

/** Rejects with STACK_FAILED if `work` takes longer. */
async function within<T>(limitMs: number, work: Promise<T>, otherwise: string): Promise<T> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(tooSlow(otherwise)), limitMs)
  try {
    return await Promise.race([work, late.promise])
  } finally {
    clearTimeout(timer)
  }
}

/** Waits until every task has passed the end marks of the input. */
async function untilFlushed(workers: Iterable<readonly [string, Worker]>): Promise<void> {
  const deadline = performance.now() + DRAIN_LIMIT_MS
  // A worker that has just been restarted holds no tasks: it is behind, too.
  const behind = () =>
    [...workers].flatMap(([name, worker]) => {
      const tasks = worker.tasks()
      return tasks.length === 0
        ? [{ id: name, watermarkMs: 0 }]
        : tasks.filter((task) => task.watermarkMs < END_OF_INPUT_MS)
    })
  while (behind().length > 0) {
    if (performance.now() > deadline) {
      const tasks = behind().map(({ id, watermarkMs }) => `${id} at ${watermarkMs}`)
      throw tooSlow('tasks are not done', tasks.join(', '))
    }
    await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS))
  }
}
