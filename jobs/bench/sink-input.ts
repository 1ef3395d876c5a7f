import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { createCodec } from '#core/codec'
import type { Broker, Warehouse } from '#core/ports'
import { ensureTables, type SinkCounters } from '#core/warehouse'
import { type StreamFeature, TABLES } from '#schemas'
import { knownRegistry } from './live-topology.ts'
import type { SinkProcessOptions } from './sink-process.ts'

/** The table that is filled. */
export const SINK_TABLE = 'features_streams'
/** The topic it is filled from, without prefix. */
export const SINK_TOPIC = 'features.streams'
/** Its partitions. */
export const SINK_PARTITIONS = 6
const KEYS = 2000
const PENDING_BYTES = 8 << 20
const BASE_MS = 1_700_000_000_000
const PROGRAM = fileURLToPath(new URL('./sink-process.ts', import.meta.url))

/** Fills the topic; sums of `bytes` are whole numbers, so that they are exact. */
export async function loadRows(broker: Broker, topic: string, rows: number): Promise<number> {
  const admin = broker.admin()
  await admin.ensureTopics([{ name: topic, partitions: SINK_PARTITIONS }])
  await admin.close()
  const codec = createCodec(await knownRegistry())
  await codec.prepare([{ topic, record: 'StreamFeature' }])
  const producer = broker.producer()
  let sum = 0
  for (let i = 0; i < rows; i++) {
    const k = i % KEYS
    const start = BASE_MS + 10_000 * Math.floor(i / KEYS)
    const bytes = (i * 7919) % 1_000_000
    sum += bytes
    const row: StreamFeature = {
      stream: `stream-${k}`,
      window_start_ms: start,
      window_end_ms: start + 10_000,
      records: 1 + (i % 50),
      bytes,
      packets: 10 + (i % 90),
      bytes_per_second: bytes / 10,
      packet_bytes_mean: 512.5 + (i % 100),
      packet_bytes_p50: 480 + (i % 31),
      packet_bytes_p95: 1400 + (i % 17),
      tcp_share: 0.75,
      udp_share: 0.25,
      sources: i % 40,
      destinations: i % 30,
      incomplete: false,
      ring_bytes: [bytes / 4, bytes / 4, bytes / 2],
    }
    producer.add(
      topic,
      k % SINK_PARTITIONS,
      row.window_end_ms,
      Buffer.from(row.stream),
      codec.encode(topic, 'StreamFeature', row),
    )
    if (producer.pendingBytes > PENDING_BYTES) await producer.flush()
  }
  await producer.close()
  return sum
}

/** What a sink says when all rows are in. */
interface Done {
  readonly rows: number
  readonly seconds: number
  readonly cpuSeconds: number
  readonly metrics: SinkCounters
  /** Most memory of the process. */
  readonly rssBytes: number
}

/** What a sink says meanwhile. */
interface SinkNews {
  readonly rows: number
  /** Bytes of rows that wait to be acknowledged now, and the most that ever did. */
  readonly waitingBytes: number
  readonly bufferedBytes: number
  readonly pauses: number
}

/** A sink process; `news` is what it said last. */
export function launchSink(options: SinkProcessOptions): {
  child: ChildProcess
  news(): SinkNews
  done: Promise<Done | null>
} {
  const child = fork(PROGRAM, [JSON.stringify(options)])
  let news: SinkNews = { rows: 0, waitingBytes: 0, bufferedBytes: 0, pauses: 0 }
  let done: Done | null = null
  child.on('message', (message: { news?: SinkNews; done?: Done }) => {
    news = message.news ?? news
    done = message.done ?? done
  })
  return { child, news: () => news, done: once(child, 'exit').then(() => done) }
}

/** Makes the table anew. */
export async function emptyTable(warehouse: Warehouse): Promise<void> {
  await warehouse.command(`DROP TABLE IF EXISTS ${SINK_TABLE}`)
  await ensureTables(
    warehouse,
    TABLES.filter((table) => table.name === SINK_TABLE),
  )
}

/** Rows, and the sum of their sizes, that a reader sees. */
export async function countRows(warehouse: Warehouse): Promise<{ n: number; sum: number }> {
  const [row] = await warehouse.query<{ n: number; sum: number }>(
    `SELECT count() AS n, sum(bytes) AS sum FROM ${SINK_TABLE} FINAL`,
  )
  return row ?? { n: 0, sum: 0 }
}
