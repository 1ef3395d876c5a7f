import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Header } from '#core/ports'
import { RecordBatchBuilder } from '../../../infra/kafka/record-batch-builder.ts'
import { BatchCursor } from '../../../infra/kafka/record-cursor.ts'
import { findBatches, openBatch } from '../../../infra/kafka/visible-batches.ts'
import { partitionOf } from './batches.ts'

const bytes = fc.option(fc.uint8Array({ maxLength: 300 }), { nil: null })
const record = fc.record({
  timestampMs: fc.integer({ min: -1, max: 2 ** 43 }),
  key: bytes,
  value: bytes,
  headers: fc.array(fc.tuple(fc.string({ maxLength: 100 }), fc.uint8Array({ maxLength: 100 })), {
    maxLength: 3,
  }),
})

function copy(cursor: BatchCursor) {
  const range = (start: number, length: number) =>
    length < 0 ? null : Uint8Array.from(cursor.buffer.subarray(start, start + length))
  return {
    timestampMs: cursor.timestampMs,
    key: range(cursor.keyStart, cursor.keyLength),
    value: range(cursor.valueStart, cursor.valueLength),
    headers: Buffer.from(cursor.buffer.subarray(cursor.headersStart, cursor.recordEnd)).toString('hex'),
  }
}

/** Headers as Kafka encodes them, written a second time and differently. */
function headerHex(headers: readonly Header[]): string {
  const varint = (n: number): Buffer =>
    Buffer.from(n < 64 ? [n * 2] : [((n * 2) % 128) | 128, Math.floor((n * 2) / 128)])
  return Buffer.concat([
    varint(headers.length),
    ...headers.flatMap(([name, value]) => [
      varint(Buffer.byteLength(name)),
      Buffer.from(name),
      varint(value.length),
      value,
    ]),
  ]).toString('hex')
}

test('the cursor reads what the builder writes', () => {
  const codec = fc.constantFrom('none', 'gzip', 'snappy', 'lz4', 'zstd')
  fc.assert(
    fc.property(fc.array(record, { minLength: 1, maxLength: 40 }), codec, (records, compression) => {
      const builder = new RecordBatchBuilder('t', 0, 64)
      for (const r of records) builder.add(r.timestampMs, r.key, r.value, r.headers)
      const batch = builder.finish(
        { producerId: 5n, producerEpoch: 2, sequence: 9, transactional: true },
        compression,
      )
      const { buffer, part } = partitionOf([batch])
      const [found] = findBatches(buffer, part, 0, true)
      if (found === undefined) throw new Error('no batch')
      const cursor = new BatchCursor()
      cursor.open(openBatch(found, 't', 0, 1))
      for (const [i, r] of records.entries()) {
        expect(cursor.next()).toBe(true)
        expect(cursor.offset).toBe(i)
        expect(copy(cursor)).toEqual({ ...r, headers: headerHex(r.headers) })
      }
      expect(cursor.next()).toBe(false)
      expect(cursor.nextOffset).toBe(records.length)
    }),
  )
})

test('the header carries the producer, and the largest timestamp', () => {
  const builder = new RecordBatchBuilder('t', 0)
  for (const timestampMs of [50, 90, 10]) builder.add(timestampMs, null, null, [])
  const batch = builder.finish(
    { producerId: 77n, producerEpoch: 3, sequence: 12, transactional: false },
    'none',
  )
  expect(batch.readBigInt64BE(27)).toBe(50n)
  expect(batch.readBigInt64BE(35)).toBe(90n)
  expect(batch.readBigInt64BE(43)).toBe(77n)
  expect(batch.readInt16BE(51)).toBe(3)
  expect(batch.readInt32BE(53)).toBe(12)
  expect(batch.readInt16BE(21)).toBe(0)
})

test('what compression would enlarge is sent as it is', () => {
  const builder = new RecordBatchBuilder('t', 0)
  builder.add(1, null, Buffer.from('x'), [])
  const batch = builder.finish({ producerId: 1n, producerEpoch: 0, sequence: 0, transactional: false }, 'lz4')
  expect(batch.readInt16BE(21) & 7).toBe(0)
})
