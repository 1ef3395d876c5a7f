import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ByteReader,
  ByteWriter,
  quantileNearestRank,
  SketchColumn,
} from '../../../pipelines/core/math/index.ts'

const PROBABILITIES = Float64Array.of(0, 0.1, 0.5, 0.9, 0.99, 1)

function bytesOf(column: SketchColumn, slot: number): string {
  const writer = new ByteWriter()
  column.encode(slot, writer)
  return Buffer.from(writer.view()).toString('hex')
}

const magnitudes = fc.oneof(
  fc.double({ min: 1e-6, max: 1e12, noNaN: true }),
  fc.integer({ min: -1000, max: 1000 }),
  fc.constant(0),
)

describe('SketchColumn', () => {
  it('answers every quantile within 1 % of a value at that rank', () => {
    fc.assert(
      fc.property(fc.array(magnitudes, { minLength: 1, maxLength: 300 }), (values) => {
        const column = new SketchColumn(1)
        for (const value of values) column.add(3, value)
        const sorted = Float64Array.from(values).sort()
        const out = new Float64Array(PROBABILITIES.length)
        column.quantiles(3, PROBABILITIES, out)
        for (let i = 0; i < out.length; i++) {
          const rank = Math.floor((PROBABILITIES[i] as number) * (sorted.length - 1) + 1e-9)
          const truth = sorted[rank] as number
          expect(Math.abs((out[i] as number) - truth)).toBeLessThanOrEqual(Math.abs(truth) * 0.0101 + 1e-9)
        }
      }),
    )
  })

  it('merges exactly, in any grouping and order', () => {
    fc.assert(
      fc.property(
        fc.array(fc.array(magnitudes, { maxLength: 40 }), { minLength: 1, maxLength: 5 }),
        (parts) => {
          const whole = new SketchColumn()
          const split = new SketchColumn(1)
          const merged = new SketchColumn()
          for (const value of parts.flat()) whole.add(0, value)
          parts.forEach((part, slot) => {
            for (const value of part) split.add(slot, value)
          })
          for (let slot = parts.length - 1; slot >= 0; slot--) merged.merge(7, split, slot)
          expect(bytesOf(merged, 7)).toBe(bytesOf(whole, 0))
          expect(merged.count(7)).toBe(whole.count(0))
        },
      ),
    )
  })

  it('decodes what it encoded, and decoding into a used slot merges', () => {
    const column = new SketchColumn()
    for (let i = 1; i <= 1000; i++) column.add(2, i * 1.5, i)
    const writer = new ByteWriter(16)
    column.encode(2, writer)
    const copy = new SketchColumn()
    copy.decode(0, new ByteReader(writer.view()))
    expect(bytesOf(copy, 0)).toBe(bytesOf(column, 2))
    copy.decode(0, new ByteReader(writer.view()))
    expect(copy.count(0)).toBe(2 * column.count(2))
    expect(copy.quantile(0, 0.5)).toBe(column.quantile(2, 0.5))
  })

  it('keeps counts exact past 32 bits', () => {
    const column = new SketchColumn()
    for (let i = 0; i < 5; i++) column.add(0, 10, 4_000_000_000)
    column.add(0, 1000, 1)
    const copy = new SketchColumn()
    const writer = new ByteWriter()
    column.encode(0, writer)
    copy.decode(0, new ByteReader(writer.view()))
    copy.merge(1, column, 0)
    for (const slot of [0, 1]) {
      expect(copy.count(slot)).toBe(20_000_000_001)
      expect(copy.quantile(slot, 0.9999)).toBeCloseTo(10, 0)
      expect(Math.abs(copy.quantile(slot, 1) / 1000 - 1)).toBeLessThan(0.01)
    }
  })

  it('ignores what is not finite, bounds what is extreme, forgets a cleared slot and reuses its pages', () => {
    const column = new SketchColumn()
    column.add(0, NaN)
    column.add(0, Infinity)
    column.add(0, 5, NaN)
    expect(column.quantile(0, 0.5)).toBeNaN()
    column.add(0, 1e300)
    column.add(0, -1e300)
    column.add(0, 1e-300)
    expect(Math.abs(column.quantile(0, 1) / 1e18 - 1)).toBeLessThan(0.01)
    expect(column.quantile(0, 0.5)).toBe(0)
    const before = column.memoryBytes
    for (let round = 0; round < 1000; round++) {
      column.clear(0)
      for (let i = 1; i < 50; i++) column.add(0, i)
    }
    expect(column.count(0)).toBe(49)
    expect(column.memoryBytes).toBe(before)
    column.reset()
    expect(column.count(0)).toBe(0)
    expect(column.quantile(9999, 0.5)).toBeNaN()
  })

  it('refuses to merge a slot with itself', () => {
    expect(() => new SketchColumn().merge(2, new SketchColumn(), 2)).not.toThrow()
    const column = new SketchColumn()
    expect(() => column.merge(2, column, 2)).toThrow(RangeError)
  })

  it('refuses bytes that no encode wrote', () => {
    const writer = new ByteWriter()
    writer.varint(1)
    writer.zigzag(5000)
    expect(() => new SketchColumn().decode(0, new ByteReader(writer.view()))).toThrow(RangeError)
    expect(() => new SketchColumn().decode(0, new ByteReader(new Uint8Array([2])))).toThrow(RangeError)
  })

  it('agrees with the nearest rank of real packet sizes', () => {
    const column = new SketchColumn()
    const sizes = Float64Array.from({ length: 10_000 }, (_, i) => 40 + ((i * 7919) % 1460))
    for (const size of sizes) column.add(0, size)
    sizes.sort()
    for (const p of [0.05, 0.5, 0.95, 0.999]) {
      expect(Math.abs(column.quantile(0, p) / quantileNearestRank(sizes, p) - 1)).toBeLessThan(0.011)
    }
  })
})
