import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { createCodec } from '#core/codec'
import { ForestallError, systemClock, systemTimers } from '#core/ports'
import { createWarehouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { createRegistryClient } from '#infra/registry'
import { databaseOf } from '../connect.ts'
import { runLoad } from '../demo/run-load.ts'
import type { DemoNetwork } from '../demo/scenario.ts'
import { untilFlushed } from './flushed.ts'
import { type HarmCounts, inflict } from './inflict.ts'
import { writeDemoNetwork } from './network.ts'
import type { ChaosPlan } from './schedule.ts'
import { startTestbed, type Testbed } from './testbed.ts'
import { judge, type Verdict } from './verdict.ts'
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
export interface ChaosResult extends Verdict {
  readonly case: 'chaos'
  readonly seed: number
  readonly brokers: number
  /** Processes killed (`kill -9`). */
  readonly kills: number
  /** How often each harm was done. */
  readonly harms: HarmCounts
  /** Worker processes that ended by themselves, because parts they need were gone for too long. */
  readonly exits: number
  readonly elapsedS: number
  readonly sound: boolean
}

const WINDOW_MS = 1000
const RECORDS_PER_SECOND = 500
/** The load outlasts every outage: records whose fate is unknown would prove nothing. */
const LOAD_PATIENCE_MS = 300_000
const START_LIMIT_MS = 240_000
/** Nothing has come for this long: it will not. */
const FLUSH_STILL_MS = 180_000

/** Runs a plan on a stack of its own, and accounts for every record. */
export async function runChaos(options: ChaosOptions): Promise<ChaosResult> {
  const { plan, dataDir, onEvent } = options
  const startedMs = performance.now()
  mkdirSync(join(dataDir, 'logs'), { recursive: true })
  const died = Promise.withResolvers<never>()
  died.promise.catch(() => undefined)
  const testbed = await startTestbed({
    ...options,
    onPartDied: ({ part, how, logFile = '' }) =>
      died.reject(new ForestallError('STACK_FAILED', `${part} ended by itself: ${how}; see ${logFile}`)),
  })
  onEvent('stack runs')
  const networkFile = join(dataDir, 'network.json')
  const network = await writeDemoNetwork(networkFile)
  const workers = startWorkers(options, testbed, networkFile)
  try {
    const found = await runUnderLoad(options, testbed, workers, network, died.promise)
    const { lost, duplicated, wrong, unknown, details } = found
    return {
      case: 'chaos',
      seed: plan.seed,
      brokers: plan.brokers,
      ...found,
      exits: workers.reduce((sum, worker) => sum + worker.exits, 0),
      elapsedS: Math.round((performance.now() - startedMs) / 100) / 10,
      sound: lost + duplicated + wrong + unknown + details.length === 0,
    }
  } catch (error) {
    for (const worker of workers)
      onEvent(`worker ${worker.slot} wrote last:\n${worker.tail().slice(-10).join('\n')}`)
    throw error
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()))
    await testbed.stop()
  }
}

const prefixOf = ({ seed }: ChaosPlan): string => `chaos-${seed}.`

function startWorkers(
  { plan, dataDir }: ChaosOptions,
  testbed: Testbed,
  networkFile: string,
): WorkerProcess[] {
  return plan.slots.map((slot) =>
    startWorkerProcess({
      slot,
      prefix: prefixOf(plan),
      networkFile,
      windowMs: WINDOW_MS,
      environment: testbed.environmentOf(slot),
      logFile: join(dataDir, 'logs', `worker-${slot}.log`),
    }),
  )
}

type Found = Verdict & Pick<ChaosResult, 'kills' | 'harms'>

async function runUnderLoad(
  { plan, onEvent, stopped }: ChaosOptions,
  testbed: Testbed,
  workers: readonly WorkerProcess[],
  network: DemoNetwork,
  died: Promise<never>,
): Promise<Found> {
  const { stack } = testbed
  const prefix = prefixOf(plan)
  const broker = createBroker({
    ...stack.connections.kafka,
    clientId: 'forestall-chaos',
    retryForMs: LOAD_PATIENCE_MS,
  })
  const codec = createCodec(createRegistryClient(stack.connections.registry))
  const { clickhouse } = stack.connections
  const warehouse = createWarehouse({ ...clickhouse, database: databaseOf(prefix, clickhouse.database) })
  try {
    await within(allReady(workers), START_LIMIT_MS, 'a worker does not start', died)
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
      onError: sayOnce(onEvent),
    })
    const harms = await Promise.race([inflict(plan, { testbed, workers, prefix, onEvent }, stopped), died])
    onEvent('schedule over')
    await within(allReady(workers), START_LIMIT_MS, 'a worker does not come back', died)
    const { truth: acknowledged } = await load.stop()
    onEvent('load over')
    const missing = await untilFlushed(broker, warehouse, prefix, FLUSH_STILL_MS)
    onEvent(missing ?? 'everything is flushed')
    const bootstrapBrokers = stack.kafkaBrokers
    const options = { bootstrapBrokers, broker, codec, warehouse, prefix, windowMs: WINDOW_MS, acknowledged }
    const verdict = await judge(options)
    const kills = killsIn(harms)
    return { kills, harms, ...verdict, details: [...(missing === null ? [] : [missing]), ...verdict.details] }
  } finally {
    await broker.close()
    await warehouse.close()
  }
}

/** What fails for a while fails often. */
function sayOnce(onEvent: (text: string) => void): (error: Error) => void {
  let last = ''
  return ({ message }) => {
    if (message !== last) onEvent(`load: ${message}`)
    last = message
  }
}

const killsIn = (harms: HarmCounts): number =>
  Object.entries(harms).reduce((sum, [name, count]) => sum + (name.startsWith('kill ') ? count : 0), 0)

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
