import { Buffer } from 'node:buffer'
import { createCodec } from '#core/codec'
import type { Broker } from '#core/ports'
import { createRecordReaders } from '#core/runtime'
import { plainFlow } from './flow-figures.ts'
import { fixedRegistry, keyOf } from './windows-input.ts'
import { GRACE_MS } from './windows-topology.ts'

/** Many keys, of which each window has every second one, and one hot key: its partition is far behind the others. */
export interface BoundedInput {
  readonly topic: string
  readonly partitions: number
  readonly keys: number
  readonly windows: number
  readonly windowMs: number
  /** Records of the hot key per window, in partition 0. */
  readonly hotPerWindow: number
}

/** What stands in a topic of windows: rows and records of each window, and the sum of all sizes. */
export interface WindowSums {
  readonly rows: number[]
  readonly records: number[]
  readonly bytes: number[]
}

const BASE_MS = 1_700_000_000_000
const HOT = 'hot'
const PENDING_BYTES = 8 << 20

const emptySums = (windows: number): WindowSums => ({
  rows: Array.from({ length: windows }, () => 0),
  records: Array.from({ length: windows }, () => 0),
  bytes: Array.from({ length: windows }, () => 0),
})

const baseOf = (windowMs: number): number => Math.ceil(BASE_MS / windowMs) * windowMs

/** Writes the input, and a record per partition that closes all of its windows; returns what must come out. */
export async function loadBounded(broker: Broker, input: BoundedInput): Promise<WindowSums> {
  const { topic, partitions, keys, windows, windowMs, hotPerWindow } = input
  const codec = createCodec(fixedRegistry())
  await codec.prepare([{ topic, record: 'Flow' }])
  const producer = broker.producer()
  const truth = emptySums(windows)
  const base = baseOf(windowMs)
  const add = async (partition: number, stream: string, atMs: number, bytes: number): Promise<void> => {
    producer.add(
      topic,
      partition,
      atMs,
      Buffer.from(stream),
      codec.encode(topic, 'Flow', plainFlow(stream, atMs, bytes)),
    )
    if (producer.pendingBytes > PENDING_BYTES) await producer.flush()
  }
  for (let w = 0; w < windows; w++) {
    const count = (n: number, rows: number, bytes: number): void => {
      truth.rows[w] = (truth.rows[w] ?? 0) + rows
      truth.records[w] = (truth.records[w] ?? 0) + n
      truth.bytes[w] = (truth.bytes[w] ?? 0) + bytes
    }
    const startMs = base + w * windowMs
    for (let k = w % 2; k < keys; k += 2) {
      const bytes = 40 + ((k * 7919) % 1400)
      await add((k >> 1) % partitions, keyOf(k), startMs + Math.floor((k / keys) * windowMs), bytes)
      count(1, 1, bytes)
    }
    for (let i = 0; i < hotPerWindow; i++)
      await add(0, HOT, startMs + Math.floor((i / hotPerWindow) * windowMs), 1)
    count(hotPerWindow, hotPerWindow > 0 ? 1 : 0, hotPerWindow)
  }
  const endMs = base + windows * windowMs + GRACE_MS + windowMs
  for (let partition = 0; partition < partitions; partition++) await add(partition, 'end', endMs, 1)
  await producer.close()
  return truth
}

/** Sums up the windows that stand, committed, in a topic. */
export async function readBounded(broker: Broker, topic: string, input: BoundedInput): Promise<WindowSums> {
  const readers = createRecordReaders(createCodec(fixedRegistry()))
  const reader = readers.inPlace('StreamFeature', ['window_start_ms', 'records', 'bytes'])
  const sums = emptySums(input.windows)
  const base = baseOf(input.windowMs)
  const source = broker.readPartitions({
    partitions: Array.from({ length: input.partitions }, (_, partition) => ({
      topic,
      partition,
      from: 'earliest',
    })),
    until: 'end',
    async onBatch(cursor) {
      while (cursor.next()) {
        const { buffer, valueStart, valueLength } = cursor
        if (valueLength < 0) continue
        const missing = reader.missingSchema(buffer, valueStart, valueLength)
        if (missing >= 0) await reader.load(missing)
        const columns = reader.read(buffer, valueStart, valueLength)
        if (typeof columns === 'string') throw new TypeError(columns)
        const [startMs = 0, records = 0, bytes = 0] = columns.numbers
        const w = (startMs - base) / input.windowMs
        sums.rows[w] = (sums.rows[w] ?? 0) + 1
        sums.records[w] = (sums.records[w] ?? 0) + records
        sums.bytes[w] = (sums.bytes[w] ?? 0) + bytes
      }
    },
  })
  await source.done
  await source.close()
  return sums
}
