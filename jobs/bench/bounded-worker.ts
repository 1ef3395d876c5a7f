// A worker of the bench `bounded` in a process of its own. Told what to do by its first argument (JSON); says when it is done.
import { setTimeout as delay } from 'node:timers/promises'
import { createCodec } from '#core/codec'
import { partitionKey, systemClock, type TopicPartition } from '#core/ports'
import { createRecordReaders, createWorker } from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { deadLetterTopic } from '#schemas'
import { fixedRegistry } from './windows-input.ts'
import { benchTopology } from './windows-topology.ts'

/** What to run. */
export interface BoundedWorkerOptions {
  readonly broker: string
  readonly name: string
  readonly input: string
  readonly merge: string
  readonly output: string
  readonly partitions: number
  readonly windowMs: number
  readonly maxStateBytes: number
}

/** How it went. */
export interface BoundedWorkerResult {
  /** Most that open windows held. */
  readonly stateBytes: number
  /** Most memory of the process, and that of one which has read nothing yet. */
  readonly rssBytes: number
  readonly idleRssBytes: number
  readonly pauses: number
  readonly late: number
  readonly seconds: number
  readonly warnings: readonly string[]
}

const POLL_MS = 5
const LOOK_MS = 300

async function run(options: BoundedWorkerOptions): Promise<BoundedWorkerResult> {
  const { name, input, merge, output, partitions } = options
  const broker = createBroker({ bootstrapBrokers: [options.broker], clientId: name })
  const codec = createCodec(fixedRegistry())
  await codec.prepare([
    { topic: output, record: 'StreamFeature' },
    { topic: deadLetterTopic(input).name, record: 'DeadLetter' },
    { topic: 'audit.offsets', record: 'OffsetLedger' },
  ])
  const admin = broker.admin()
  const read: TopicPartition[] = [input, merge].flatMap((topic) =>
    Array.from({ length: partitions }, (_, partition) => ({ topic, partition })),
  )
  const warnings: string[] = []
  const failed = Promise.withResolvers<never>()
  const worker = createWorker({
    topology: benchTopology(name, input, output, options.windowMs, { topic: merge, partitions }),
    broker,
    encoder: codec,
    readers: createRecordReaders(codec),
    clock: systemClock,
    slot: '0',
    maxStateBytes: options.maxStateBytes,
    maxFetchBytes: 8 << 20,
    onFatal: (error) => failed.reject(error),
    onWarning: (error) => warnings.push(error.message),
  })
  const isDone = async (): Promise<boolean> => {
    const ends = await admin.offsets(read, 'latest')
    const committed = await admin.committed(name, read)
    return committed.every(
      ({ topic, partition, offset }) => offset >= (ends.get(partitionKey(topic, partition)) ?? 0) - 1,
    )
  }
  const idleRssBytes = process.memoryUsage.rss()
  const began = performance.now()
  await worker.start()
  let stateBytes = 0
  let seen = -1
  let lookAtMs = 0
  let ended = 0
  for (;;) {
    await Promise.race([delay(POLL_MS), failed.promise])
    stateBytes = Math.max(stateBytes, worker.bytes())
    const { recordsIn, windows } = worker.counters
    const still = recordsIn + windows === seen
    seen = recordsIn + windows
    if (!still) ended = 0
    if (!still || performance.now() < lookAtMs) continue
    lookAtMs = performance.now() + LOOK_MS
    // A transaction may have been answered whose last records nobody sees yet.
    ended = (await isDone()) ? ended + 1 : 0
    if (ended === 2) break
  }
  const { pauses, late } = worker.counters
  const seconds = (performance.now() - began) / 1000
  await worker.stop()
  await broker.close()
  const rssBytes = process.resourceUsage().maxRSS * 1024
  return { stateBytes, rssBytes, idleRssBytes, pauses, late, seconds, warnings }
}

// A bench that is killed takes its worker with it.
process.once('disconnect', () => process.exit())
process.send?.(await run(JSON.parse(process.argv[2] ?? '{}') as BoundedWorkerOptions))
process.disconnect?.()
