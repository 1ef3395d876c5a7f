import { compressionsAlgorithms } from '@platformatic/kafka'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Lz4Decoder } from '../../../infra/kafka/lz4.ts'

const compress = (data: Buffer): Buffer => compressionsAlgorithms.lz4.compressSync(data)

/** Bytes as record batches have them: words that come again, runs of one byte, noise. */
const data = fc
  .array(
    fc.oneof(
      fc.integer({ min: 0, max: 40 }).map((k) => Buffer.from(`device-${k}`)),
      fc
        .tuple(fc.integer({ min: 0, max: 255 }), fc.integer({ min: 1, max: 700 }))
        .map(([byte, n]) => Buffer.alloc(n, byte)),
      fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 120 },
  )
  // The library's compressor fails on nothing at all once its memory has grown; a batch is never empty.
  .map((parts) => Buffer.concat([Buffer.from('.'), ...parts]))

/** A frame by hand: flags, optional content size, blocks (high bit of the length: not compressed), checksums of zero. */
function frame(
  flags: number,
  contentBytes: number | null,
  blocks: readonly { raw: boolean; bytes: Buffer }[],
): Buffer {
  const size = Buffer.alloc(contentBytes === null ? 0 : 8)
  if (contentBytes !== null) size.writeBigUInt64LE(BigInt(contentBytes))
  const parts = blocks.flatMap(({ raw, bytes }) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE((bytes.length | (raw ? 0x80000000 : 0)) >>> 0)
    return [length, bytes, Buffer.alloc((flags & 0x10) === 0 ? 0 : 4)]
  })
  return Buffer.concat([
    Buffer.from([0x04, 0x22, 0x4d, 0x18, flags, 0x40]),
    size,
    Buffer.alloc(1),
    ...parts,
    Buffer.alloc(4),
  ])
}

describe('the LZ4 decoder', () => {
  test('gives back what was compressed, one frame after another in the same buffer', () => {
    const decoder = new Lz4Decoder()
    fc.assert(
      fc.property(data, (bytes) => {
        expect(decoder.decode(compress(bytes)).equals(bytes)).toBe(true)
      }),
    )
  })

  test('takes frames of many blocks, and more than it had room for', () => {
    const decoder = new Lz4Decoder()
    for (const bytes of [Buffer.alloc(3_000_000, 'ab'), Buffer.alloc(20_000_000), Buffer.from('after')])
      expect(decoder.decode(compress(bytes)).equals(bytes)).toBe(true)
  })

  test('reads content size, block checksums, blocks that are not compressed and copies across blocks', () => {
    const blocks = [
      { raw: true, bytes: Buffer.from('0123456789') },
      // Two literals, 'xy', then 6 bytes from 12 back; then one literal.
      { raw: false, bytes: Buffer.from([0x22, 0x78, 0x79, 12, 0, 0x10, 0x21]) },
    ]
    const expected = '0123456789xy012345!'
    for (const flags of [0x40, 0x50]) {
      expect(new Lz4Decoder().decode(frame(flags, null, blocks)).toString()).toBe(expected)
      expect(new Lz4Decoder().decode(frame(flags | 0x08, 19, blocks)).toString()).toBe(expected)
    }
  })

  test.each([
    ['no frame', Buffer.from('not a frame at all')],
    ['a dictionary', frame(0x41, null, [])],
    [
      'a copy from before the beginning',
      frame(0x40, null, [{ raw: false, bytes: Buffer.from([0x10, 0x78, 9, 0, 0x00]) }]),
    ],
    [
      'literals beyond the block',
      frame(0x40, null, [{ raw: false, bytes: Buffer.from([0xf0, 0xff, 0xff, 1]) }]),
    ],
    [
      'a block beyond the frame',
      frame(0x40, null, [{ raw: true, bytes: Buffer.from('abc') }]).subarray(0, 12),
    ],
  ])('refuses %s', (_what, bytes) => {
    expect(() => new Lz4Decoder().decode(bytes)).toThrow(RangeError)
  })

  test('ends on any bytes: with a result or a RangeError', () => {
    const decoder = new Lz4Decoder()
    fc.assert(
      fc.property(
        data,
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 8 }),
        fc.nat(),
        (bytes, flips, cut) => {
          const broken = Buffer.from(compress(bytes))
          for (const [at, byte] of flips) if (broken.length > 7) broken[7 + (at % (broken.length - 7))] = byte
          const outcome = (): unknown => {
            try {
              return decoder.decode(broken.subarray(0, broken.length - (cut % 5)))
            } catch (error) {
              return error
            }
          }
          expect([Buffer, RangeError]).toContain(outcome()?.constructor)
          const whole = Buffer.from('whole again')
          expect(decoder.decode(compress(whole)).equals(whole)).toBe(true)
        },
      ),
    )
  })
})
