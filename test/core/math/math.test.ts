import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ByteReader,
  ByteWriter,
  combine32,
  fmix32,
  fnv1a,
  median,
  medianDeviation,
  murmur3,
  murmur3Text,
  quantileNearestRank,
  quantileType7,
  sortedFinite,
} from '../../../pipelines/core/math/index.ts'

describe('hash functions', () => {
  it.each([
    ['', 0, 0],
    ['', 1, 0x514e28b7],
    ['', 0xffffffff, 0x81f16f39],
    ['test', 0, 0xba6bd213],
    ['test', 0x9747b28c, 0x704b81dc],
    ['Hello, world!', 0, 0xc0363e43],
    ['Hello, world!', 0x9747b28c, 0x24884cba],
    ['The quick brown fox jumps over the lazy dog', 0x9747b28c, 0x2fa826cd],
  ])('murmur3 of %j with seed %i is the published value', (text, seed, expected) => {
    const padded = Buffer.from(`xy${text}z`)
    expect(murmur3(padded, 2, padded.length - 3, seed)).toBe(expected)
    expect(murmur3Text(text, seed)).toBe(expected)
  })

  it.each([
    ['', 0x811c9dc5],
    ['a', 0xe40c292c],
    ['foobar', 0xbf9cf968],
  ])('fnv1a of %j is the published value', (text, expected) => {
    const padded = Buffer.from(`-${text}-`)
    expect(fnv1a(padded, 1, text.length)).toBe(expected)
  })

  it('mixes without collisions and depends on the order', () => {
    const seen = new Set(Array.from({ length: 10_000 }, (_, i) => fmix32(i)))
    expect(seen.size).toBe(10_000)
    expect(fmix32(1)).toBe(0x514e28b7)
    expect(combine32(combine32(0, 1), 2)).not.toBe(combine32(combine32(0, 2), 1))
  })
})

describe('quantiles', () => {
  it('by nearest rank and by type 7', () => {
    const sorted = [1, 2, 3, 4]
    expect([0, 0.25, 0.26, 0.5, 1].map((p) => quantileNearestRank(sorted, p))).toEqual([1, 1, 2, 2, 4])
    expect([0, 0.25, 0.5, 0.9, 1].map((p) => quantileType7(sorted, p))).toEqual([1, 1.75, 2.5, 3.7, 4])
    expect(quantileType7([], 0.5)).toBeNaN()
    expect(quantileNearestRank([], 0.5)).toBeNaN()
  })

  it('type 7 is monotone in p', () => {
    fc.assert(
      fc.property(
        fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, p, q) => {
          const sorted = sortedFinite(values)
          const [low, high] = p < q ? [p, q] : [q, p]
          expect(quantileType7(sorted, low)).toBeLessThanOrEqual(quantileType7(sorted, high))
        },
      ),
    )
  })

  it('centre and spread pass over gaps and outliers', () => {
    expect(median([3, NaN, 1, 2, Infinity])).toBe(2)
    expect(medianDeviation([1, 2, 3, 4, 1e12])).toBeCloseTo(1.4826, 4)
    expect(median([NaN])).toBeNaN()
  })
})

describe('ByteWriter and ByteReader', () => {
  it('read back what was written', () => {
    fc.assert(
      fc.property(
        fc.array(fc.maxSafeNat(), { maxLength: 20 }),
        fc.array(fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), { maxLength: 20 }),
        fc.string({ unit: 'grapheme' }),
        fc.double(),
        (naturals, integers, text, double) => {
          const writer = new ByteWriter(1)
          for (const n of naturals) writer.varint(n)
          for (const n of integers) writer.zigzag(n)
          writer.text(text)
          writer.f64(double)
          writer.f32(0.5)
          writer.u32(0xfffffffe)
          writer.u8(7)
          const reader = new ByteReader(writer.take())
          expect(naturals.map(() => reader.varint())).toEqual(naturals)
          expect(integers.map(() => reader.zigzag())).toEqual(integers)
          expect(reader.text()).toBe(text)
          expect(reader.f64()).toBe(double)
          expect([reader.f32(), reader.u32(), reader.u8()]).toEqual([0.5, 0xfffffffe, 7])
          expect(reader.remaining).toBe(0)
          expect(() => reader.u8()).toThrow(RangeError)
        },
      ),
    )
  })
})
