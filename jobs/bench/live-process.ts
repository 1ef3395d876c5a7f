// A process of the benches `latency` and `rebalance`: a producer or a worker on input that comes while they run.
// Told what to do by its first argument (JSON); ends in order on SIGTERM, and tells its counters.
import { createCodec } from '#core/codec'
import { systemClock } from '#core/ports'
import { createRecordReaders, createWorker, partitionOf } from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { plainFlow } from './flow-figures.ts'
import { knownRegistry, liveTopology, type LiveTopologyOptions } from './live-topology.ts'

/** What one process does. */
export interface LiveProcessOptions {
  readonly role: 'producer' | 'worker'
  readonly broker: string
  readonly topology: LiveTopologyOptions
  /** Producer: records per second and keys. */
  readonly recordsPerSecond: number
  readonly keys: number
  /** Worker: its slot and time between commits. */
  readonly slot: string
  readonly commitMs: number
}

const STEP_MS = 5
/** Longer than a worker takes to start on a busy machine. */
const SESSION_MS = 45_000

const say = (message: object): void => void process.send?.(message)

async function produce(options: LiveProcessOptions): Promise<() => Promise<void>> {
  const { topology, recordsPerSecond, keys } = options
  const broker = createBroker({ bootstrapBrokers: [options.broker], clientId: 'bench-producer', lingerMs: 2 })
  const codec = createCodec(await knownRegistry())
  await codec.prepare([{ topic: topology.input, record: 'Flow' }])
  const producer = broker.producer()
  const names = Array.from({ length: keys }, (_, k) => `dev-${String(k).padStart(8, '0')}`)
  const bytes = names.map((name) => Buffer.from(name))
  const targets = bytes.map((key) => partitionOf(key, topology.partitions))
  const beganMs = performance.now()
  let sent = 0
  const step = (): void => {
    const due = Math.floor(((performance.now() - beganMs) * recordsPerSecond) / 1000)
    for (; sent < due; sent++) {
      const k = sent % keys
      const nowMs = Date.now()
      const value = codec.encode(topology.input, 'Flow', plainFlow(names[k] ?? '', nowMs, 40 + (sent % 1400)))
      // With a merge, keys do not follow partitions: that is what it is for.
      const partition = topology.partials === '' ? (targets[k] ?? 0) : sent % topology.partitions
      producer.add(topology.input, partition, nowMs, bytes[k] ?? null, value)
    }
  }
  const timer = setInterval(step, STEP_MS)
  return async () => {
    clearInterval(timer)
    await producer.flush()
    await broker.close()
    say({ sent })
  }
}

async function work(options: LiveProcessOptions): Promise<() => Promise<void>> {
  const { topology } = options
  const broker = createBroker({ bootstrapBrokers: [options.broker], clientId: `bench-${options.slot}` })
  const codec = createCodec(await knownRegistry())
  await codec.prepare([
    { topic: topology.output, record: 'StreamFeature' },
    { topic: `dlq.${topology.input}`, record: 'DeadLetter' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
  const worker = createWorker({
    topology: liveTopology(topology),
    broker,
    encoder: codec,
    readers: createRecordReaders(codec),
    clock: systemClock,
    slot: options.slot,
    commitIntervalMs: options.commitMs,
    sessionTimeoutMs: SESSION_MS,
    onFatal: (error) => {
      process.stderr.write(`${error.stack}\n`)
      process.exit(1)
    },
    onWarning: (error) => process.stderr.write(`warning: ${error.message}\n`),
  })
  await worker.start()
  const timer = setInterval(() => say({ tasks: worker.tasks().map((t) => t.id) }), 100)
  return async () => {
    clearInterval(timer)
    await worker.stop()
    await broker.close()
    const { user, system } = process.cpuUsage()
    say({ counters: worker.counters, cpuSeconds: (user + system) / 1e6 })
  }
}

const options = JSON.parse(process.argv[2] ?? '{}') as LiveProcessOptions
const stop = await (options.role === 'producer' ? produce(options) : work(options))
say({ ready: true })
process.once('SIGTERM', () => void stop().then(() => process.disconnect()))
// A bench that is killed takes its processes with it.
process.once('disconnect', () => process.exit())
