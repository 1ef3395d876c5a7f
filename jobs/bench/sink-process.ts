// The sink of the bench `sink` in a process of its own: it may be killed. Told what to do by its first argument (JSON).
import { createCodec } from '#core/codec'
import { systemClock } from '#core/ports'
import { createSink, decodeWith } from '#core/warehouse'
import { createWarehouse } from '#infra/clickhouse'
import { createBroker } from '#infra/kafka'
import { TABLES } from '#schemas'
import { knownRegistry } from './live-topology.ts'

/** What to copy from where to where. */
export interface SinkProcessOptions {
  readonly broker: string
  readonly clickhouse: string
  readonly groupId: string
  readonly prefix: string
  readonly table: string
  readonly flushRows: number
  /** Default 256 MiB. */
  readonly maxBufferedBytes?: number
}

const options = JSON.parse(process.argv[2] ?? '{}') as SinkProcessOptions
const broker = createBroker({ bootstrapBrokers: [options.broker], clientId: 'bench-sink' })
const warehouse = createWarehouse({ url: options.clickhouse, attempts: 1 })
const sink = createSink({
  broker,
  warehouse,
  groupId: options.groupId,
  groupInstanceId: 'bench',
  topicPrefix: options.prefix,
  tables: TABLES.filter((table) => table.name === options.table),
  decode: decodeWith(createCodec(await knownRegistry())),
  clock: systemClock,
  flushRows: options.flushRows,
  maxBufferedBytes: options.maxBufferedBytes ?? 256 << 20,
  onError: (error) => process.send?.({ error: error.message }),
})

/** Nothing is written any more, and the topic has no transactions: the positions reach its ends. */
async function copied(): Promise<void> {
  const admin = broker.admin()
  const topics = await admin.partitions(
    (await admin.listTopics()).filter((t) => t.startsWith(options.prefix)),
  )
  const all = [...topics].flatMap(([topic, count]) =>
    Array.from({ length: count }, (_, partition) => ({ topic, partition })),
  )
  const ends = await admin.offsets(all, 'latest')
  await admin.close()
  const behind = () => {
    const positions = sink.positions()
    return [...ends].some(([key, end]) => (positions.get(key) ?? -1) < end)
  }
  while (behind()) await new Promise((resolve) => setTimeout(resolve, 10))
}

// A bench that is killed takes its sink with it.
process.once('disconnect', () => process.exit())
const before = process.cpuUsage()
const beganMs = performance.now()
await sink.start()
const rows = (): number => sink.metrics.rows[options.table] ?? 0
let bufferedBytes = 0
const look = setInterval(() => (bufferedBytes = Math.max(bufferedBytes, sink.metrics.bufferedBytes)), 2)
const tell = () => {
  const { pauses, bufferedBytes: waitingBytes } = sink.metrics
  process.send?.({ news: { rows: rows(), waitingBytes, bufferedBytes, pauses } })
}
const timer = setInterval(tell, 50)
await copied()
clearInterval(timer)
clearInterval(look)
tell()
const { user, system } = process.cpuUsage(before)
process.send?.({
  done: {
    rows: rows(),
    seconds: (performance.now() - beganMs) / 1000,
    cpuSeconds: (user + system) / 1e6,
    metrics: sink.metrics,
    rssBytes: process.resourceUsage().maxRSS * 1024,
  },
})
await sink.stop()
await warehouse.close()
await broker.close()
process.disconnect?.()
