import { Buffer } from 'node:buffer'
import { createCodec, type RecordCodec } from '#core/codec'
import { type Broker, systemClock } from '#core/ports'
import { createMemoryRegistry } from '../../../pipelines/core/runtime/testing/memory-registry.ts'
import {
  type Applier,
  createApplier,
  createBlockCutter,
  type LogLayout,
  partitionOfSegment,
  type PlacedBlock,
} from '../../../pipelines/data-sharding/log/index.ts'
import type { MemoryReplica } from './replica.ts'

export const LAYOUT: LogLayout = { service: 'orders', segments: 8, partitions: 2 }
export const TOPIC = 'writes.test'

/** Pairs (key, row) as the cutter takes them; a row is `key=value` and a line break. */
export function pairs(rows: readonly (readonly [key: string, value: string])[]): Uint8Array {
  const strings = rows.flatMap(([key, value]) => [key, `${key}=${value}\n`])
  return Buffer.concat(
    strings.flatMap((text) => {
      const bytes = Buffer.from(text)
      const head = bytes.length < 128 ? [bytes.length] : [(bytes.length % 128) + 128, bytes.length >> 7]
      return [Buffer.from(head), bytes]
    }),
  )
}

/** The blocks of an insert into `db.t`. */
export function blocksOf(
  id: string,
  rows: readonly (readonly [key: string, value: string])[],
  options: { repeatToken?: string; maxBytes?: number } = {},
): PlacedBlock[] {
  const target = { database: 'db', table: 't', columns: ['k', 'v'] }
  const head = { id, target, repeatToken: options.repeatToken ?? '', issuedAtMs: 1 }
  const cutter = createBlockCutter(LAYOUT, head, options.maxBytes)
  return [...cutter.push(pairs(rows)), ...cutter.end()]
}

/** A codec on a registry of its own. */
export async function openTestCodec(): Promise<RecordCodec> {
  const codec = createCodec(createMemoryRegistry())
  await codec.prepare([{ topic: TOPIC, record: 'WriteBlock' }])
  return codec
}

/** A replica that has stored nothing begins with these segments at the beginning of the log. */
export async function beginWith(store: MemoryReplica, segments: readonly number[]): Promise<void> {
  if ((await store.loadApplied(TOPIC)).length > 0) return
  for (let partition = 0; partition < LAYOUT.partitions; partition++) {
    const own = segments.filter((s) => partitionOfSegment(s, LAYOUT.partitions) === partition)
    await store.saveApplied(TOPIC, { partition, version: 1, next: 0, segments: own, joining: [] })
  }
}

/** An applier over a replica in memory that has begun. */
export const applierOf = (
  broker: Broker,
  codec: RecordCodec,
  store: MemoryReplica,
  settled: () => Promise<void> = () => Promise.resolve(),
): Applier =>
  createApplier({
    settled,
    instance: 'a',
    broker,
    codec,
    topic: TOPIC,
    layout: LAYOUT,
    store,
    retryMs: 1,
    saveEveryBlocks: 3,
  })

/** Appends blocks without waiting for their places. */
export async function write(
  broker: Broker,
  codec: RecordCodec,
  blocks: readonly PlacedBlock[],
): Promise<void> {
  const producer = broker.producer()
  for (const { partition, block } of blocks) {
    const value = codec.encode(TOPIC, 'WriteBlock', block)
    producer.add(TOPIC, partition, systemClock.nowMs(), Buffer.from(block.block_id), value)
  }
  await producer.flush()
  await producer.close()
}
