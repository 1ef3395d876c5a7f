import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { createCodec } from '#core/codec'
import { partitionKey, systemClock, type TopicPartition } from '#core/ports'
import { createRecordReaders, createWorker } from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { deadLetterTopic } from '#schemas'
import { fixedRegistry } from './windows-input.ts'
import { benchTopology } from './windows-topology.ts'

/** One run of our side. */
export interface OursOptions {
  readonly broker: string
  readonly input: string
  readonly output: string
  readonly partitions: number
  readonly commitMs: number
  /** Name of the topology: its group and transactional id. */
  readonly name: string
  /** Share of the records after which the clock of `warm` starts. */
  readonly warmupShare: number
  /** Size of the windows, ms. */
  readonly windowMs: number
  /** Names this process among those of a run. Default '0'. */
  readonly slot?: string
}

/** What a stretch of a run took: wall clock, and processor time of the whole process. */
export interface Span {
  readonly records: number
  readonly seconds: number
  readonly cpuSeconds: number
}

/** A run: from the first record that is decoded to the commit of the last. */
export interface OursResult extends Span {
  /** After `warmupShare` of the records. */
  readonly warm: Span
  /** Most that windows held, and that the process took. */
  readonly stateBytes: number
  readonly rssBytes: number
  /** Windows of a key emitted. */
  readonly windows: number
}

const POLL_MS = 20

interface Moment {
  readonly atMs: number
  readonly cpuUs: number
  readonly records: number
}

function momentOf(records: number): Moment {
  const { user, system } = process.cpuUsage()
  return { atMs: performance.now(), cpuUs: user + system, records }
}

const spanOf = (from: Moment, to: Moment): Span => ({
  records: to.records - from.records,
  seconds: (to.atMs - from.atMs) / 1000,
  cpuSeconds: (to.cpuUs - from.cpuUs) / 1e6,
})

/**
 * Runs one worker in this process until its group has committed the end of the input. With several processes each has
 * a part of the partitions; `records` counts its own.
 */
export async function runOurs(options: OursOptions): Promise<OursResult> {
  const { input, output, name, partitions } = options
  const broker = createBroker({
    bootstrapBrokers: [options.broker],
    clientId: `${name}-${options.slot ?? '0'}`,
  })
  let first: Moment | undefined
  // The schema of the input is asked for when the first record is decoded.
  const codec = createCodec(fixedRegistry(() => (first ??= momentOf(0))))
  await codec.prepare([
    { topic: output, record: 'StreamFeature' },
    { topic: deadLetterTopic(input).name, record: 'DeadLetter' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
  const admin = broker.admin()
  const inputs: TopicPartition[] = Array.from({ length: partitions }, (_, partition) => ({
    topic: input,
    partition,
  }))
  const ends = await admin.offsets(inputs, 'latest')
  const all = [...ends.values()].reduce((a, b) => a + b, 0)
  const failed = Promise.withResolvers<never>()
  const worker = createWorker({
    topology: benchTopology(name, input, output, options.windowMs),
    broker,
    encoder: codec,
    readers: createRecordReaders(codec),
    clock: systemClock,
    slot: options.slot ?? '0',
    commitIntervalMs: options.commitMs,
    onFatal: (error) => failed.reject(error),
    onWarning: (error) => process.stderr.write(`warning: ${error.message}\n`),
  })
  await worker.start()
  const { counters } = worker
  let warm: Moment | undefined
  let stateBytes = 0
  const isDone = async (): Promise<boolean> =>
    (await admin.committed(name, inputs)).every(
      ({ topic, partition, offset }) => offset >= (ends.get(partitionKey(topic, partition)) ?? 0),
    )
  let sawRecords = -1
  for (;;) {
    await Promise.race([delay(POLL_MS), failed.promise])
    stateBytes = Math.max(stateBytes, worker.bytes())
    if (warm === undefined && counters.recordsIn >= options.warmupShare * all)
      warm = momentOf(counters.recordsIn)
    // Other processes may still have work: it is asked only once this one has none.
    if (counters.recordsIn === sawRecords && sawRecords > 0 && (await isDone())) break
    sawRecords = counters.recordsIn
  }
  const end = momentOf(counters.recordsIn)
  const result = {
    ...spanOf(first ?? end, end),
    warm: spanOf(warm ?? first ?? end, end),
    stateBytes,
    rssBytes: process.resourceUsage().maxRSS * 1024,
    windows: counters.windows,
  }
  await worker.stop()
  await broker.close()
  return result
}

/** As `runOurs`, in a process of its own: compiled anew and with a heap of its own, as the peer is. */
export async function spawnOurs(options: OursOptions): Promise<OursResult> {
  const file = fileURLToPath(new URL('windows-side.ts', import.meta.url))
  const child = spawn(process.execPath, [file, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let out = ''
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`our side ended with ${code}: ${out}`)
  return JSON.parse(out) as OursResult
}
