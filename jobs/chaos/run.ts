import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createCodec } from '#core/codec'
import { createPause, ForestallError, systemClock, systemTimers } from '#core/ports'
import { createWarehouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { startStack, type Stack } from '#infra/local'
import { createRegistryClient } from '#infra/registry'
import { databaseOf } from '../connect.ts'
import { audit, type AuditReport } from '../demo/accounting.ts'
import { runLoad } from '../demo/run-load.ts'
import { checkDownstream, type DownstreamCheck } from './decisions.ts'
import { untilFlushed } from './flushed.ts'
import { writeDemoNetwork } from './network.ts'
import type { ChaosPlan, Fault, FaultKind } from './schedule.ts'
import { startWorkerProcess, type WorkerProcess } from './worker-process.ts'

/** Settings of a run. */
export interface ChaosOptions {
  readonly plan: ChaosPlan
  /** Folder for everything; the caller removes it. */
  readonly dataDir: string
  /** Where downloaded parts are kept. */
  readonly partsDir: string
  /** Ends the load and what is left of the schedule early. */
  readonly stopped?: Promise<void>
  readonly onEvent: (text: string) => void
}

/** What a run found: the last line that `npm run chaos` prints. */
export interface ChaosResult {
  readonly case: 'chaos'
  readonly seed: number
  readonly kills: Readonly<Record<FaultKind, number>>
  /** Worker processes that ended by themselves, because parts they need were gone for too long. */
  readonly exits: number
  readonly records: number
  readonly unknown: number
  readonly windows: number
  readonly late: number
  readonly deadLetters: number
  readonly forecasts: number
  readonly decisions: number
  readonly lost: number
  readonly duplicated: number
  readonly wrong: number
  readonly details: readonly string[]
  readonly elapsedS: number
  readonly sound: boolean
}

const WINDOW_MS = 1000
const RECORDS_PER_SECOND = 1000
/** The load outlasts every outage: records whose fate is unknown would prove nothing. */
const LOAD_PATIENCE_MS = 300_000
const START_LIMIT_MS = 120_000
const FLUSH_LIMIT_MS = 180_000

/** Runs a plan on a stack of its own, and accounts for every record. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { plan, dataDir, partsDir, onEvent } = options
  const startedMs = performance.now()
  const prefix = `chaos-${plan.seed}.`
  const logs = join(dataDir, 'logs')
  mkdirSync(logs, { recursive: true })
  const networkFile = join(dataDir, 'network.json')
  const network = await writeDemoNetwork(networkFile)
  const died = Promise.withResolvers<never>()
  died.promise.catch(() => undefined)
  const stack = await startStack({
    dataDir,
    partsDir,
    onPartDied: ({ part, how, logFile = '' }) =>
      died.reject(new ForestallError('STACK_FAILED', `${part} ended by itself: ${how}; see ${logFile}`)),
  })
  const environment = {
    KAFKA_BROKERS: stack.kafkaBrokers.join(','),
    CLICKHOUSE_URL: stack.clickhouseUrl,
    SCHEMA_REGISTRY_URL: stack.registryUrl,
  }
  const workers = plan.slots.map((slot) =>
    startWorkerProcess({
      slot,
      prefix,
      networkFile,
      windowMs: WINDOW_MS,
      environment,
      logFile: join(logs, `worker-${slot}.log`),
    }),
  )
  const broker = createBroker({
    ...stack.connections.kafka,
    clientId: 'forestall-chaos',
    retryForMs: LOAD_PATIENCE_MS,
  })
  const codec = createCodec(createRegistryClient(stack.connections.registry))
  const warehouse = createWarehouse({ database: databaseOf(prefix), ...stack.connections.clickhouse })
  try {
    onEvent('stack runs')
    await within(allReady(workers), START_LIMIT_MS, 'a worker does not start', died.promise)
    onEvent('workers stream')
    const load = await runLoad({
      broker,
      codec,
      network,
      topicPrefix: prefix,
      seed: plan.seed,
      windowMs: WINDOW_MS,
      clock: systemClock,
      recordsPerSecond: RECORDS_PER_SECOND,
      onError: (error) => onEvent(`load: ${error.message}`),
    })
    const kills = await Promise.race([inflict(options, stack, workers), died.promise])
    onEvent('schedule over')
    await within(allReady(workers), START_LIMIT_MS, 'a worker does not come back', died.promise)
    const { truth } = await load.stop()
    onEvent(`load over: ${truth.flows.records + truth.probes.records} records`)
    const missing = await untilFlushed(broker, warehouse, prefix, FLUSH_LIMIT_MS)
    onEvent(missing ?? 'everything is flushed')
    const report = await audit({ broker, codec, topicPrefix: prefix, warehouse, truth })
    const downstream = await checkDownstream(broker, codec, prefix)
    const exits = workers.reduce((sum, worker) => sum + worker.exits, 0)
    return resultOf(plan, kills, exits, report, downstream, missing, performance.now() - startedMs)
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()))
    await broker.close()
    await warehouse.close()
    await stack.stop()
  }
}

const allReady = (workers: readonly WorkerProcess[]) => Promise.all(workers.map((worker) => worker.ready()))

async function within(
  work: Promise<unknown>,
  limitMs: number,
  what: string,
  died: Promise<never>,
): Promise<void> {
  const expired = Promise.withResolvers<never>()
  const timer = systemTimers.after(limitMs, () =>
    expired.reject(new ForestallError('STACK_FAILED', `${what} within ${limitMs} ms.`)),
  )
  try {
    await Promise.race([work, expired.promise, died])
  } finally {
    timer.cancel()
  }
}

/** Carries the schedule out. Faults of one part follow one another, those of different parts may overlap. */
async function inflict(
  { plan, onEvent, stopped }: ChaosOptions,
  stack: Stack,
  workers: readonly WorkerProcess[],
): Promise<Record<FaultKind, number>> {
  const kills = { worker: 0, clickhouse: 0, kafka: 0, freeze: 0 }
  const busy = new Map<string, Promise<void>>()
  const startMs = performance.now()
  const pause = createPause(systemTimers)
  let over = false
  const end = async (): Promise<void> => {
    await stopped
    over = true
    pause.end()
  }
  if (stopped !== undefined) void end()
  for (const fault of plan.faults) {
    await pause.wait(Math.max(0, startMs + fault.atMs - performance.now()))
    if (over) break
    onEvent(wordsOf(fault))
    kills[fault.kind]++
    const target = `${fault.kind === 'freeze' ? 'worker' : fault.kind} ${fault.slot}`
    const before = busy.get(target) ?? Promise.resolve()
    busy.set(
      target,
      before.then(() => doFault(fault, stack, workers)),
    )
  }
  await Promise.all(busy.values())
  await pause.wait(Math.max(0, startMs + plan.loadMs - performance.now()))
  return kills
}

/** A fault in words. */
export const wordsOf = ({ atMs, kind, slot, downMs }: Fault): string =>
  `${(atMs / 1000).toFixed(1)} s: ${kind === 'freeze' ? 'stop' : 'kill -9'} ${kind === 'freeze' ? 'worker' : kind}${slot === '' ? '' : ` ${slot}`}, back after ${downMs} ms`

/** Does one fault, and puts it right again. */
async function doFault(
  { kind, slot, downMs }: Fault,
  stack: Stack,
  workers: readonly WorkerProcess[],
): Promise<void> {
  if (kind === 'kafka' || kind === 'clickhouse') {
    const part = stack.parts[kind]
    await part?.kill9()
    await createPause(systemTimers).wait(downMs)
    await part?.start()
    return
  }
  const worker = workers.find((w) => w.slot === slot)
  await (kind === 'freeze' ? worker?.freeze(downMs) : worker?.kill(downMs))
}

function resultOf(
  { seed }: ChaosPlan,
  kills: Record<FaultKind, number>,
  exits: number,
  report: AuditReport,
  downstream: DownstreamCheck,
  missing: string | null,
  elapsedMs: number,
): ChaosResult {
  const duplicated = report.duplicated + downstream.duplicated
  const wrong = report.wrong + downstream.wrong
  return {
    case: 'chaos',
    seed,
    kills,
    exits,
    records: report.records,
    unknown: report.unknown,
    windows: report.windows,
    late: report.late,
    deadLetters: Object.values(report.deadLetters).reduce((sum, n) => sum + n, 0),
    forecasts: downstream.forecasts,
    decisions: downstream.decisions,
    lost: report.lost,
    duplicated,
    wrong,
    details: [...(missing === null ? [] : [missing]), ...report.details, ...downstream.details],
    elapsedS: Math.round(elapsedMs / 100) / 10,
    sound: report.sound && downstream.duplicated + downstream.wrong === 0 && missing === null,
  }
}
