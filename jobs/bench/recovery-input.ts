import { Buffer } from 'node:buffer'
import type { RecordCodec } from '#core/codec'
import { type Broker, mulberry32 } from '#core/ports'
import { partitionOf } from '#core/runtime'
import { plainFlow } from './flow-figures.ts'
import { inputOf } from './differential-ours.ts'

/** One minute, so that all of the input lies in windows that are open when the process is killed. */
export const LANE = { name: 'recovery', sizeMs: 60_000, advanceMs: 60_000, graceMs: 5000 } as const
/** Partitions of input and output. */
export const PARTITIONS = 4

/** A multiple of the window's length. */
const BASE_MS = 28_333_333 * LANE.sizeMs
const PENDING_BYTES = 8 << 20
/** Events of the window lie in its first 50 s. */
const SPREAD_MS = 50_000

/** Writes `perKey` records of each of `keys` keys, in order of time, all of one window. */
export async function loadWindow(
  broker: Broker,
  codec: RecordCodec,
  prefix: string,
  keys: number,
  perKey: number,
): Promise<void> {
  const topic = inputOf(LANE)
  const random = mulberry32(5)
  const producer = broker.producer()
  const records = keys * perKey
  for (let i = 0; i < records; i++) {
    const key = `dev-${String(i % keys).padStart(12, '0')}`
    const atMs = BASE_MS + Math.floor((i * SPREAD_MS) / records)
    const bytes = codec.encode(topic, 'Flow', plainFlow(key, atMs, random.uint32() % 1500))
    const keyBytes = Buffer.from(key)
    producer.add(`${prefix}${topic}`, partitionOf(keyBytes, PARTITIONS), atMs, keyBytes, bytes)
    if (producer.pendingBytes > PENDING_BYTES) await producer.flush()
  }
  await producer.close()
}

/** One record per partition beyond the window's grace: it closes everything. */
export async function closeWindow(broker: Broker, codec: RecordCodec, prefix: string): Promise<void> {
  const topic = inputOf(LANE)
  const producer = broker.producer()
  const atMs = BASE_MS + 2 * LANE.sizeMs + LANE.graceMs
  for (let partition = 0; partition < PARTITIONS; partition++) {
    const key = `end-${partition}`
    const bytes = codec.encode(topic, 'Flow', plainFlow(key, atMs, 1))
    producer.add(`${prefix}${topic}`, partition, atMs, Buffer.from(key), bytes)
  }
  await producer.close()
}
