import { Cron } from 'croner'
import { ForestallError, systemClock } from '#core/ports'
import { writeAlerts } from './accuracy/alerts.ts'
import { isWorse, newestIssueMs, readAccuracy } from './accuracy/query.ts'
import { type CommonArgs, replayPrefix } from './args.ts'
import { findConnections, findReplay, openBroker, openCodec, openRows } from './connect.ts'
import type { ExitCode } from './errors-exit.ts'
import { followTables } from './followed-tables.ts'
import { signalled } from './signals.ts'
import type { NetKind } from './train/net-fit.ts'
import { refit, type RefitDeps, type RefitOptions, type RefitProgress } from './train/refit.ts'
import { createWarner } from './warnings.ts'

/** `forestall train`: chooses the champion of every series, now or on a schedule. */
export interface TrainArgs extends CommonArgs {
  /** Cron expression; null: once. */
  readonly schedule: string | null
  readonly workers: number
  /** Candidate seasons, ms. */
  readonly seasonsMs: readonly number[]
  readonly everyMs: number
  readonly historyMs: number
  /** Networks to train. */
  readonly nets: readonly NetKind[]
  readonly netPasses: number
  /** Also series that were looked at lately. */
  readonly all: boolean
  /** Of a replay; '' is live. */
  readonly replayId: string
  readonly dataDir: string
}

const REPORT_EVERY_MS = 2000

/** Chooses champions once, or whenever the schedule says until Ctrl-C or SIGTERM. Returns 1 if the fit of a series failed. */
export async function runTrain(args: TrainArgs): Promise<ExitCode> {
  const found = findConnections(args.dataDir)
  const prefix = replayPrefix(await findReplay(found, args.replayId))
  const broker = await openBroker(found, 'forestall-train')
  const warehouse = await openRows(found, prefix)
  const codec = await openCodec(found)
  const warn = createWarner()
  const tables = followTables(broker, codec, prefix, warn)
  try {
    await codec.prepare([
      { topic: 'models', record: 'Model' },
      { topic: 'alerts.forecasts', record: 'ForecastAlert' },
    ])
    const deps: RefitDeps = { broker, codec, warehouse, tables, clock: systemClock, prefix }
    if (args.schedule === null) return await runOnce(deps, args)
    return await runScheduled(deps, args, args.schedule, warn)
  } finally {
    await tables.stop()
    await warehouse.close()
    await broker.close()
  }
}

async function runOnce(deps: RefitDeps, args: TrainArgs): Promise<ExitCode> {
  const signals = signalled()
  const isStopped = stopFlag(signals.stopped)
  try {
    const report = reporter()
    const progress = await refit(deps, {
      ...optionsOf(args, args.all ? 'all' : 'stale'),
      onProgress: (now) => {
        report(now)
        return !isStopped()
      },
    })
    process.stderr.write(`${inWords(progress)}\n`)
    if (args.json) process.stdout.write(`${JSON.stringify(progress)}\n`)
    return progress.failed > 0 ? 1 : 0
  } finally {
    signals.release()
  }
}

async function runScheduled(
  deps: RefitDeps,
  args: TrainArgs,
  schedule: string,
  warn: (error: Error) => void,
): Promise<ExitCode> {
  const signals = signalled()
  const isStopped = stopFlag(signals.stopped)
  let running: Promise<void> = Promise.resolve()
  const report = reporter()
  const run = async (): Promise<void> => {
    try {
      const progress = await refit(deps, {
        ...optionsOf(args, 'due'),
        onProgress: (now) => {
          report(now)
          return !isStopped()
        },
      })
      if (progress.done + progress.failed > 0) process.stderr.write(`${inWords(progress)}\n`)
      await raiseAlerts(deps, args.everyMs)
    } catch (error) {
      warn(error as Error)
    }
  }
  // A run that takes longer than the schedule's interval is not overlapped: the next turn finds what is still due.
  const cron = new Cron(checkedSchedule(schedule), { protect: true }, () => (running = run()))
  process.stderr.write(`next run ${cron.nextRun()?.toISOString() ?? 'never'}; Ctrl-C stops\n`)
  try {
    await signals.stopped
    cron.stop()
    await running
    return 0
  } finally {
    signals.release()
  }
}

/** After each turn of a schedule: alerts for models that were worse than the seasonal naive over the last period. */
async function raiseAlerts(deps: RefitDeps, everyMs: number): Promise<void> {
  const lastMs = await newestIssueMs(deps.warehouse)
  const rows = await readAccuracy(deps.warehouse, { sinceMs: Math.max(0, lastMs - everyMs), by: 'series' })
  const { raised, withdrawn } = await writeAlerts(deps, rows.filter(isWorse))
  if (raised + withdrawn > 0)
    process.stderr.write(`forecast alerts: ${raised} raised, ${withdrawn} withdrawn\n`)
}

/** Asks whether somebody wants to stop. */
function stopFlag(stopped: Promise<void>): () => boolean {
  const state = { isStopped: false }
  const note = async (): Promise<void> => {
    await stopped
    state.isStopped = true
  }
  void note()
  return () => state.isStopped
}

/** Throws CONFIG_INVALID for what is no cron expression. */
function checkedSchedule(schedule: string): string {
  try {
    new Cron(schedule, { paused: true }).stop()
    return schedule
  } catch (cause) {
    throw new ForestallError('CONFIG_INVALID', `--schedule: ${(cause as Error).message}`, {
      cause,
      cure: "Write a cron expression such as '*/10 * * * *'.",
    })
  }
}

function optionsOf(args: TrainArgs, which: RefitOptions['which']): RefitOptions {
  const { workers, seasonsMs, everyMs, historyMs, nets, netPasses } = args
  const onNote = (text: string) => process.stderr.write(`${text}\n`)
  return { workers, seasonsMs, everyMs, historyMs, nets, netPasses, which, onNote }
}

/** Says how far a run is, not more often than every two seconds. */
function reporter(): (progress: RefitProgress) => void {
  let lastMs = performance.now()
  return (progress) => {
    if (performance.now() - lastMs < REPORT_EVERY_MS) return
    lastMs = performance.now()
    const { total, fresh, done, empty, young, failed, seconds } = progress
    const left = total - fresh - done - empty - young - failed
    const rate = done / Math.max(seconds, 1e-3)
    process.stderr.write(
      `${done} of ${total - fresh} series, ${rate.toFixed(1)} per second, ${Math.ceil(left / Math.max(rate, 1e-3))} s left\n`,
    )
  }
}

function inWords({
  total,
  fresh,
  done,
  changed,
  borrowed,
  empty,
  young,
  failed,
  seconds,
}: RefitProgress): string {
  return (
    `${done} of ${total} series refitted in ${seconds.toFixed(1)} s: ${changed} champions changed, ` +
    `${borrowed} start from similar series; ${fresh} fresh, ${young} too young, ${empty} without history, ${failed} failed`
  )
}
