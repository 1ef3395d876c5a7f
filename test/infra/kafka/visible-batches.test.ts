import { describe, expect, test } from 'vitest'
import type { AbortedTransaction } from '../../../infra/kafka/fetch-response.ts'
import { BatchCursor } from '../../../infra/kafka/record-cursor.ts'
import { findBatches, openBatch } from '../../../infra/kafka/visible-batches.ts'
import { encodeBatch, partitionOf } from './batches.ts'
import type { TestBatch } from './batches.ts'

/** Values that a reader sees, and the offset it goes on at. */
function read(
  batches: readonly TestBatch[],
  aborted: AbortedTransaction[] = [],
  from = 0,
  readCommitted = true,
) {
  const { buffer, part } = partitionOf(batches.map(encodeBatch), aborted)
  const cursor = new BatchCursor()
  const values: string[] = []
  let next = from
  for (const found of findBatches(buffer, part, from, readCommitted)) {
    next = found.nextOffset
    if (!found.records) continue
    cursor.open(openBatch(found, 't', 0, 1))
    while (cursor.next())
      values.push(cursor.buffer.toString('utf8', cursor.valueStart, cursor.valueStart + cursor.valueLength))
  }
  return { values, next }
}

const data = (at: number, producerId: number, ...values: string[]): TestBatch => ({
  at,
  values,
  producerId,
  transactional: true,
})
const marker = (at: number, producerId: number, type: 0 | 1): TestBatch => ({
  at,
  values: [],
  producerId,
  marker: type,
})
const aborted = (producerId: number, firstOffset: number): AbortedTransaction => ({
  producerId: BigInt(producerId),
  firstOffset,
})

describe('read_committed', () => {
  test('an aborted transaction is void, the next one of the same producer is not', () => {
    const log = [data(0, 7, 'void'), marker(1, 7, 0), data(2, 7, 'kept'), marker(3, 7, 1)]
    expect(read(log, [aborted(7, 0)])).toEqual({ values: ['kept'], next: 4 })
  })

  test('a committed transaction before an aborted one of the same producer is kept', () => {
    const log = [data(0, 7, 'kept'), marker(1, 7, 1), data(2, 7, 'void'), marker(3, 7, 0)]
    expect(read(log, [aborted(7, 2)])).toEqual({ values: ['kept'], next: 4 })
  })

  test('two aborted transactions in a row, listed in any order', () => {
    const log = [data(0, 7, 'a'), marker(1, 7, 0), data(2, 7, 'b'), marker(3, 7, 0), data(4, 7, 'kept')]
    expect(read(log, [aborted(7, 2), aborted(7, 0)]).values).toEqual(['kept'])
  })

  test('a transaction that began before the fetch is void to its end', () => {
    const log = [data(10, 7, 'void'), data(11, 7, 'void'), marker(12, 7, 0), data(13, 7, 'kept')]
    expect(read(log, [aborted(7, 3)], 10).values).toEqual(['kept'])
  })

  test('a transaction that begins inside a batch counts from that batch on', () => {
    const log = [data(0, 7, 'a', 'b', 'c'), marker(3, 7, 0)]
    expect(read(log, [aborted(7, 2)]).values).toEqual([])
  })

  test('interleaved producers are told apart', () => {
    const log = [
      data(0, 1, 'kept1'),
      data(1, 2, 'void'),
      data(2, 1, 'kept2'),
      marker(3, 1, 1),
      data(4, 2, 'void'),
      marker(5, 2, 0),
    ]
    expect(read(log, [aborted(2, 1)]).values).toEqual(['kept1', 'kept2'])
  })

  test("another producer's markers end nothing", () => {
    const log = [
      data(0, 1, 'void'),
      marker(1, 2, 0),
      marker(2, 3, 1),
      data(3, 1, 'void'),
      marker(4, 1, 0),
      data(5, 1, 'kept'),
    ]
    expect(read(log, [aborted(1, 0)]).values).toEqual(['kept'])
  })

  test('batches outside transactions are kept, whatever their producer has aborted', () => {
    const log: TestBatch[] = [
      data(0, 7, 'void'),
      { at: 1, values: ['plain'], producerId: 7 },
      marker(2, 7, 0),
    ]
    expect(read(log, [aborted(7, 0)]).values).toEqual(['plain'])
  })

  test('read_uncommitted sees aborted records, control records nobody', () => {
    const log = [data(0, 7, 'void'), marker(1, 7, 0)]
    expect(read(log, [aborted(7, 0)], 0, false)).toEqual({ values: ['void'], next: 2 })
  })
})

describe('bytes', () => {
  test('a batch cut short by the broker waits for the next fetch', () => {
    const whole = encodeBatch(data(0, -1, 'a'))
    const cut = encodeBatch(data(1, -1, 'b'))
    for (const length of [0, 1, 60, 61, cut.length - 1]) {
      const { buffer, part } = partitionOf([whole, cut.subarray(0, length)])
      expect(findBatches(buffer, part, 0, true).map((b) => b.nextOffset)).toEqual([1])
    }
  })

  test('records before the offset asked for are skipped, and whole batches of them', () => {
    const log = [data(0, -1, 'a', 'b'), data(2, -1, 'c', 'd', 'e')]
    expect(read(log, [], 3)).toEqual({ values: ['d', 'e'], next: 5 })
  })

  test.each(['none', 'gzip', 'snappy', 'lz4', 'zstd'] as const)('codec %s', (compression) => {
    const values = Array.from({ length: 50 }, (_, i) => `the same text ${i}`)
    expect(read([{ at: 5, values, compression }], [], 0).values).toEqual(values)
  })

  test('a changed byte is found by the checksum, and the place is named', () => {
    const batch = encodeBatch(data(40, 7, 'value'))
    batch[batch.length - 2] = (batch[batch.length - 2] ?? 0) ^ 1
    const { buffer, part } = partitionOf([batch])
    const [found] = findBatches(buffer, part, 0, true)
    if (found === undefined) throw new Error('no batch')
    expect(() => openBatch(found, 'flows', 3, 1)).toThrow(
      expect.objectContaining({
        code: 'BATCH_CORRUPT',
        message: expect.stringContaining('flows-3 offset 40'),
      }),
    )
  })

  test('old message formats are refused', () => {
    const batch = encodeBatch(data(0, 7, 'value'))
    batch[16] = 1
    const { buffer, part } = partitionOf([batch])
    expect(() => findBatches(buffer, part, 0, true)).toThrow(
      expect.objectContaining({ code: 'BATCH_CORRUPT' }),
    )
  })
})
