import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Broker, ForestallError } from '#core/ports'
import type { Counters } from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { startKafka } from '#infra/local'
import type { LiveProcessOptions } from './live-process.ts'
import type { LiveTopologyOptions } from './live-topology.ts'

/** What a process says when it ends in order. */
export interface LastWords {
  readonly sent?: number
  readonly counters?: Counters
  readonly cpuSeconds?: number
}

/** A producer or worker in a process of its own. */
export interface LiveProcess {
  /** Tasks that it holds, as it said last. */
  tasks(): readonly string[]
  /** Ends it in order. */
  stop(): Promise<LastWords>
}

/** A Kafka of its own for a bench, in a temporary folder. */
export interface LiveStack {
  readonly address: string
  readonly broker: Broker
  stop(): Promise<void>
}

/** Starts Kafka compiled for speed. */
export async function openLiveStack(): Promise<LiveStack> {
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-bench-'))
  const remove = (): void => rmSync(dataDir, { recursive: true, force: true })
  try {
    const partsDir = join(process.cwd(), '.forestall', 'parts')
    const kafka = await startKafka({ dataDir, partsDir, throughput: true, heapMb: 1024 })
    const broker = createBroker({ bootstrapBrokers: [kafka.broker], clientId: 'bench' })
    return {
      address: kafka.broker,
      broker,
      async stop() {
        await broker.close()
        await kafka.stop()
        remove()
      },
    }
  } catch (error) {
    remove()
    throw error
  }
}

/** Creates the topics of a live topology. */
export async function makeLiveTopics(broker: Broker, topology: LiveTopologyOptions): Promise<void> {
  const { input, output, partials, partitions } = topology
  const wide = [input, output, ...(partials === '' ? [] : [partials])]
  const admin = broker.admin()
  await admin.ensureTopics([
    ...wide.map((name) => ({ name, partitions })),
    { name: `dlq.${input}`, partitions: 1 },
    { name: 'audit.offsets', partitions: 1 },
  ])
  await admin.close()
}

const PROGRAM = fileURLToPath(new URL('./live-process.ts', import.meta.url))

/** Starts a process; resolves once it works. */
export async function launchLive(options: LiveProcessOptions): Promise<LiveProcess> {
  const child: ChildProcess = fork(PROGRAM, [JSON.stringify(options)])
  let tasks: readonly string[] = []
  let last: LastWords = {}
  const ready = Promise.withResolvers<void>()
  child.on('message', (message: LastWords & { ready?: boolean; tasks?: readonly string[] }) => {
    if (message.ready === true) ready.resolve()
    else if (message.tasks === undefined) last = message
    else tasks = message.tasks
  })
  const exited = once(child, 'exit')
  void exited.then(() => ready.reject(new ForestallError('STACK_FAILED', `${options.role} ended`)))
  await ready.promise
  return {
    tasks: () => tasks,
    async stop() {
      child.kill('SIGTERM')
      await exited
      return last
    },
  }
}
