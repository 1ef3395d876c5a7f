import { Buffer } from 'node:buffer'
import { ByteReader, ByteWriter } from '../math/index.ts'
import type { Broker } from '../ports/index.ts'

/** A round node's state at a commit, with what a restart needs to go on from there. */
export interface Snapshot {
  /** The last round that is in the state. */
  roundMs: number
  /** Offset to replay from, per input (`partitionKey` of the topic name on the broker). */
  replayFrom: Map<string, number>
  state: Uint8Array
}

/** Small enough that a batch, closed once it has reached the producer's size, stays below the 1 MiB that brokers allow. */
const CHUNK_BYTES = 100 * 1024
const VERSION = 1

/** Splits a snapshot into records `partition/chunk`: each carries version, generation (the round) and number of chunks. */
export function encodeSnapshot(partition: number, snapshot: Snapshot): { key: Buffer; value: Buffer }[] {
  const head = new ByteWriter()
  head.varint(snapshot.replayFrom.size)
  for (const [input, offset] of snapshot.replayFrom) {
    head.text(input)
    head.varint(offset)
  }
  const body = Buffer.concat([head.view(), snapshot.state])
  const chunks = Math.max(1, Math.ceil(body.length / CHUNK_BYTES))
  return Array.from({ length: chunks }, (_, i) => {
    const out = new ByteWriter()
    out.u8(VERSION)
    out.varint(snapshot.roundMs)
    out.varint(chunks)
    out.bytes(body.subarray(i * CHUNK_BYTES, (i + 1) * CHUNK_BYTES))
    return { key: Buffer.from(`${partition}/${i}`), value: Buffer.from(out.view()) }
  })
}

/** Collects chunk records (in log order) and gives the last complete snapshot. */
export class SnapshotCollector {
  readonly #chunks = new Map<number, { roundMs: number; chunks: number; body: Uint8Array }>()
  #complete: Snapshot | undefined

  /** Takes one record of the snapshot topic. */
  add(key: string, value: Buffer): void {
    const reader = new ByteReader(value)
    if (reader.u8() !== VERSION) return
    const roundMs = reader.varint()
    const chunks = reader.varint()
    this.#chunks.set(Number(key.split('/')[1]), {
      roundMs,
      chunks,
      body: Buffer.from(reader.bytes(reader.remaining)),
    })
    const parts = Array.from({ length: chunks }, (_, i) => this.#chunks.get(i))
    if (parts.some((part) => part?.roundMs !== roundMs)) return
    this.#complete = decodeBody(roundMs, Buffer.concat(parts.map((part) => part?.body ?? new Uint8Array(0))))
  }

  /** The last snapshot of which every chunk was seen. */
  get latest(): Snapshot | undefined {
    return this.#complete
  }
}

function decodeBody(roundMs: number, body: Buffer): Snapshot {
  const reader = new ByteReader(body)
  const replayFrom = new Map<string, number>()
  for (let left = reader.varint(); left > 0; left--) {
    const input = reader.text()
    replayFrom.set(input, reader.varint())
  }
  return { roundMs, replayFrom, state: reader.bytes(reader.remaining) }
}

/** Reads the latest snapshot of a partition back from its compacted topic, up to the present uncommitted end. */
export async function readSnapshot(
  broker: Broker,
  topic: string,
  partition: number,
): Promise<Snapshot | undefined> {
  const collector = new SnapshotCollector()
  const reader = broker.readPartitions({
    partitions: [{ topic, partition, from: 'earliest' }],
    until: 'end',
    onBatch(cursor) {
      while (cursor.next()) {
        if (cursor.valueLength < 0 || cursor.keyLength < 0) continue
        const key = cursor.buffer.toString('utf8', cursor.keyStart, cursor.keyStart + cursor.keyLength)
        if (!key.startsWith(`${partition}/`)) continue
        collector.add(key, cursor.buffer.subarray(cursor.valueStart, cursor.valueStart + cursor.valueLength))
      }
    },
  })
  try {
    await reader.done
  } finally {
    await reader.close()
  }
  return collector.latest
}
