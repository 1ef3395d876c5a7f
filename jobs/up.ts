import { ForestallError } from '#core/ports'
import { createExposition, type Sample } from '#infra/observability'
import { startWeb, type WebServer, type WebStatus } from '#infra/web'
import type { UpArgs } from './args.ts'
import { isListening } from './connect.ts'
import { followerSamples } from './metrics.ts'
import { type Session, startSession } from './session.ts'
import type { Beside } from './session-beside.ts'
import { portError } from './port-error.ts'
import { signalled } from './signals.ts'
import {
  readCounts,
  readLatency,
  type RunAccount,
  type RunCounts,
  type RunSummary,
  summarise,
} from './summary.ts'
import { createWarner } from './warnings.ts'

const STATUS_EVERY_MS = 1000
const SAME_EVERY = 10
const NO_COUNTS: RunCounts = { windows: 0, forecasts: 0, risks: 0, decisions: 0, acks: 0 }

/** Writes progress for people: to standard error, so that standard output stays the result. */
const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}

/** What the page and the terminal are told between two looks at the warehouse. */
interface Live {
  phase: string
  readonly startedAtMs: number
  /** What was printed last, and how often it has been the same since. */
  said: { text: string; again: number }
  counts: RunCounts
  latencyMs: RunSummary['latencyMs']
}

/**
 * `forestall up`: the stack, all pipelines of traffic-routing, a data plane and a load, until the time is over, the
 * recording has ended or a signal comes; then every open window is flushed and everything is accounted for.
 * Returns the exit status: 0 if nothing was lost or counted twice.
 */
export async function runUp(args: UpArgs): Promise<number> {
  if (hasPage(args)) await checkPort(args.port)
  const live: Live = {
    phase: 'starting',
    startedAtMs: Date.now(),
    said: { text: '', again: 0 },
    counts: NO_COUNTS,
    latencyMs: { p50: null, p99: null },
  }
  const signals = signalled()
  const failure = Promise.withResolvers<never>()
  failure.promise.catch(() => undefined)
  const session = await startSession(args, {
    onProgress: ({ part, state, detail, elapsedMs }) =>
      say(
        `${part.padEnd(11)} ${state}${detail === undefined ? '' : `: ${detail}`}${state === 'ready' ? ` (${elapsedMs} ms)` : ''}`,
      ),
    onPhase: (phase) => {
      if (live.phase !== phase) say(phase)
      live.phase = phase
    },
    onWarning: createWarner(say),
    onFatal: (error) => failure.reject(error),
  })
  let web: WebServer | undefined
  const looking = setInterval(() => void look(session, live), STATUS_EVERY_MS)
  try {
    if (hasPage(args)) {
      web = await startWeb({
        port: args.port,
        warehouse: session.pipelines.warehouse,
        status: () => statusOf(session, live),
        metrics: createExposition(() => metricsOf(session)),
      }).catch((error: unknown) => {
        throw portError(error, 'port', '127.0.0.1', args.port)
      })
      say(
        `\n  Forestall is running: ${web.url}\n  Kafka ${session.stack.kafkaBrokers.join(',')}, ClickHouse ${session.stack.clickhouseUrl}, registry ${session.stack.registryUrl}\n  Topics and decisions of this run: ${session.prefix}*\n  Ctrl-C stops it.\n`,
      )
    }
    const startedMs = performance.now()
    const bySignal = signals.stopped.then(() => true)
    const stoppedBySignal = await Promise.race([
      untilOver(args, session).then(() => false),
      bySignal,
      failure.promise,
    ])
    live.phase = 'flushing open windows'
    say(live.phase)
    // A signal while flushing gives it up: what is not accounted for is then said to be so.
    const flushed = await Promise.race([
      session.drain().then(() => true),
      ...(stoppedBySignal ? [] : [bySignal.then(() => false)]),
      failure.promise,
    ])
    if (!flushed) return 1
    const account = await summarise(session, performance.now() - startedMs)
    report(account, args.json)
    return account.summary.sound ? 0 : 1
  } finally {
    clearInterval(looking)
    await web?.stop()
    await session.stop()
    signals.release()
  }
}

const hasPage = ({ web, headless }: UpArgs): boolean => web && !headless

/** Before minutes are spent on everything else. Throws CONFIG_INVALID if somebody listens there. */
async function checkPort(port: number): Promise<void> {
  if (port === 0 || !(await isListening(port))) return
  throw new ForestallError('CONFIG_INVALID', `--port ${port}: something listens there already`, {
    cure: 'Stop it, or choose another port for the dashboard with --port (0: any that is free).',
  })
}

/** Over after the time asked for, or when the recording has ended. */
async function untilOver(args: UpArgs, session: Session): Promise<void> {
  const time = Promise.withResolvers<void>()
  // Whoever stops it before that is not kept waiting.
  const timer = args.forMs === null ? undefined : setTimeout(time.resolve, args.forMs).unref()
  await Promise.race([session.ended, time.promise])
  clearTimeout(timer)
}

async function look(session: Session, live: Live): Promise<void> {
  try {
    const { warehouse } = session.pipelines
    live.counts = await readCounts(warehouse)
    if (session.config.time === 'wall') live.latencyMs = await readLatency(warehouse, session.config.windowMs)
    const { windows, forecasts, decisions, acks } = live.counts
    const p99 = live.latencyMs.p99 === null ? '-' : `${Math.round(live.latencyMs.p99)} ms`
    const lines = session.beside.map(({ demo }) => demo.line())
    lines.push(
      `${session.truth().flows.records} flows, ${windows} windows, ${forecasts} forecasts, ${decisions} decisions, ${acks} acks, p99 to applied ${p99}`,
    )
    sayNews(live, lines.join('\n'))
  } catch (error) {
    if (!(error instanceof ForestallError)) throw error
  }
}

/** Prints what is new; what stays the same, as while the last windows are flushed, every ten looks only. */
function sayNews(live: Live, text: string): void {
  const { said } = live
  said.again = text === said.text ? said.again + 1 : 0
  said.text = text
  if (said.again === 0) say(text)
  else if (said.again % SAME_EVERY === 0) say(`still ${live.phase}`)
}

function statusOf(session: Session, live: Live): WebStatus {
  const { pipelines, dataPlane, beside, config, stack } = session
  const features = pipelines.workers.get('features')?.counters
  const part = (name: string, url: string) => ({ name, state: 'ready', detail: url })
  return {
    phase: live.phase,
    startedAtMs: live.startedAtMs,
    windowMs: config.windowMs,
    parts: [
      part('kafka', stack.kafkaBrokers.join(', ')),
      part('clickhouse', stack.clickhouseUrl),
      part('registry', stack.registryUrl),
      ...dataPlane.parts(),
      ...beside.flatMap(({ demo }) => demo.parts()),
    ],
    counters: {
      recordsIn: features?.recordsIn ?? 0,
      ...live.counts,
      deadLetters: features?.deadLetters ?? 0,
      late: features?.late ?? 0,
    },
    latencyMs: live.latencyMs,
    followers: [...dataPlane.followers(), ...beside.flatMap(({ demo }) => demo.followers())],
    ...beside.reduce<Partial<WebStatus>>((all, { demo }) => ({ ...all, ...demo.status() }), {}),
    workers: [...pipelines.workers, ...beside.flatMap(workersOf)].map(([topology, worker]) => {
      const tasks = worker.tasks()
      const watermarks = tasks.map((task) => task.watermarkMs).filter(Number.isFinite)
      return {
        topology,
        tasks: tasks.map((task) => task.id),
        watermarkMs: watermarks.length > 0 ? Math.min(...watermarks) : null,
      }
    }),
  }
}

async function metricsOf({ pipelines, dataPlane, beside, prefix }: Session): Promise<Sample[]> {
  const followed = dataPlane
    .health()
    .flatMap(({ id, topic, health }) => followerSamples(id, topic.slice(prefix.length), health))
  const own = await Promise.all([pipelines, ...beside.map(({ demo }) => demo)].map((it) => it.metrics()))
  return [...own.flat(), ...followed]
}

const workersOf = ({ word, demo }: Beside) =>
  [...demo.workers].map(([topology, worker]) => [`${word} ${topology}`, worker] as const)

function report({ summary, lines }: RunAccount, json: boolean): void {
  const { latencyMs, details } = summary
  say('')
  say(
    `records in   ${summary.recordsIn} (dead letters ${summary.deadLetters}, late ${summary.late}, skipped ${JSON.stringify(summary.skipped)})`,
  )
  say(
    `windows      ${summary.windows}, forecasts ${summary.forecasts} (scored ${JSON.stringify(summary.scored)}), risks ${summary.risks}`,
  )
  say(`decisions    ${summary.decisions}, acks ${summary.acks}, applied ${JSON.stringify(summary.applied)}`)
  if (latencyMs.p99 !== null)
    say(
      `latency      p50 ${latencyMs.p50} ms, p99 ${latencyMs.p99} ms from the start of the window to applied`,
    )
  if (summary.processedByRegion) say(`processed    ${JSON.stringify(summary.processedByRegion)}`)
  for (const line of lines) say(line)
  say(`lost         ${summary.lost}, duplicated ${summary.duplicated}`)
  for (const detail of details) say(`             ${detail}`)
  if (json) process.stdout.write(`${JSON.stringify(summary)}\n`)
}
