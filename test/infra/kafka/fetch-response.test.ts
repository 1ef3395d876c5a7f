import { expect, test } from 'vitest'
import { parseFetch } from '../../../infra/kafka/fetch-response.ts'

const int = (value: number, size: 2 | 4): Buffer => {
  const buffer = Buffer.alloc(size)
  buffer.writeIntBE(value, 0, size)
  return buffer
}
const long = (value: number): Buffer => {
  const buffer = Buffer.alloc(8)
  buffer.writeBigInt64BE(BigInt(value))
  return buffer
}
const TAGS = Buffer.from([0])
/** Tagged fields of two kinds, which a parser that does not know them must step over. */
const SOME_TAGS = Buffer.from([2, 0, 3, 9, 9, 9, 1, 1, 9])

function partition(index: number, error: number, records: Buffer | null, tags: Buffer): Buffer {
  const aborted = Buffer.concat([Buffer.from([2]), long(77), long(5), SOME_TAGS])
  const bytes =
    records === null
      ? Buffer.from([0])
      : Buffer.concat([
          Buffer.from([((records.length + 1) % 128) | 128, Math.floor((records.length + 1) / 128)]),
          records,
        ])
  return Buffer.concat([
    int(index, 4),
    int(error, 2),
    long(900),
    long(800),
    long(3),
    aborted,
    int(-1, 4),
    bytes,
    tags,
  ])
}

function response(topic: Buffer, tags: Buffer): { buffer: Buffer; records: Buffer } {
  const records = Buffer.from('r'.repeat(300))
  const buffer = Buffer.concat([
    int(12, 4),
    int(0, 2),
    int(0, 4),
    Buffer.from([2]),
    topic,
    Buffer.from([3]),
    partition(0, 0, records, tags),
    partition(4, 6, null, tags),
    tags,
    tags,
  ])
  return { buffer, records }
}

const cases: [string, Buffer, boolean, string][] = [
  ['12 (by name)', Buffer.concat([Buffer.from([6]), Buffer.from('flows')]), true, 'flows'],
  [
    '13 to 17 (by id)',
    Buffer.from('00112233445566778899aabbccddeeff', 'hex'),
    false,
    '00112233445566778899aabbccddeeff',
  ],
]

test.each(cases)('version %s', (_version, topic, byName, topicKey) => {
  for (const tags of [TAGS, SOME_TAGS]) {
    const { buffer, records } = response(topic, tags)
    const parsed = parseFetch(buffer, byName)
    expect(parsed).toMatchObject({ throttleMs: 12, error: 0 })
    expect(parsed.partitions).toMatchObject([
      {
        topicKey,
        partition: 0,
        error: 0,
        lastStableOffset: 800,
        logStartOffset: 3,
        aborted: [{ producerId: 77n, firstOffset: 5 }],
      },
      { topicKey, partition: 4, error: 6 },
    ])
    const [first, second] = parsed.partitions
    expect(parsed.buffer.subarray(first?.start, first?.end).equals(records)).toBe(true)
    expect(second?.start).toBe(second?.end)
  }
})
