import { createCodec } from '#core/codec'
import { type Broker, type GroupHandler, systemClock } from '#core/ports'
import { createRecordReaders, createWorker } from '#core/runtime'
import { createBroker } from '#infra/kafka'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { lanesTopology, prepareOurs } from './differential-ours.ts'
import { LANE } from './recovery-input.ts'

/** A worker in a process that `recovery.ts` kills: `recovery-worker.ts <brokers> <prefix>`. Says in JSON lines what happens. */
const [bootstrapBrokers = '', prefix = ''] = process.argv.slice(2)

const say = (event: string): boolean =>
  process.stdout.write(`${JSON.stringify({ event, atMs: performance.timeOrigin + performance.now() })}\n`)

/** Tells when the group has given it its partitions: from then on it reads. */
const telling = (broker: Broker): Broker => ({
  ...broker,
  groupReader: (options, handler) =>
    broker.groupReader(
      options,
      Object.assign(Object.create(handler) as GroupHandler, {
        onAssigned(assignment: Parameters<GroupHandler['onAssigned']>[0]) {
          if (assignment.partitions.length > 0) say('reading')
          return handler.onAssigned(assignment)
        },
      }),
    ),
})

const broker = createBroker({ bootstrapBrokers: [bootstrapBrokers], clientId: 'recovery' })
const codec = createCodec(createMemoryRegistry())
await prepareOurs({ broker, codec, lanes: [LANE], prefix, partitions: 0 })
const failed = (error: Error): void => {
  process.stderr.write(`${error.stack}\n`)
}
const worker = createWorker({
  topology: lanesTopology([LANE]),
  broker: telling(broker),
  prefix,
  encoder: codec,
  readers: createRecordReaders(codec),
  clock: systemClock,
  slot: '0',
  commitIntervalMs: 100,
  onFatal: (error) => {
    failed(error)
    process.exit(1)
  },
  onWarning: failed,
})
await worker.start()
say('started')
