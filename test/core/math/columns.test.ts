import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  ByteReader,
  ByteWriter,
  DistinctColumn,
  fmix32,
  MomentsColumn,
  TopKColumn,
} from '../../../pipelines/core/math/index.ts'

type Encodes = { encode(slot: number, writer: ByteWriter): void }

function bytesOf(column: Encodes, slot: number): string {
  const writer = new ByteWriter()
  column.encode(slot, writer)
  return Buffer.from(writer.view()).toString('hex')
}

describe('DistinctColumn', () => {
  it('is exact up to 32 and within 4 standard errors above', () => {
    const column = new DistinctColumn(1)
    let seen = 0
    for (const n of [1, 10, 32, 33, 100, 1000, 10_000, 200_000]) {
      while (seen < n) column.add(5, fmix32(seen++))
      for (let again = 0; again < 5; again++) column.add(5, fmix32(again % n))
      expect(Math.abs(column.estimate(5) / n - 1)).toBeLessThanOrEqual(n <= 32 ? 0 : 0.13)
    }
    expect(column.estimate(4)).toBe(0)
    expect(column.estimate(99)).toBe(0)
  })

  it('holds the same whatever the order and grouping', () => {
    const hashes = fc.array(fc.nat(200), { maxLength: 120 })
    fc.assert(
      fc.property(fc.array(hashes, { minLength: 1, maxLength: 4 }), (parts) => {
        const whole = new DistinctColumn()
        for (const id of parts.flat()) whole.add(0, fmix32(id))
        const split = new DistinctColumn(1)
        parts.forEach((part, slot) => {
          for (const id of part.toReversed()) split.add(slot, fmix32(id))
        })
        const merged = new DistinctColumn()
        for (let slot = parts.length - 1; slot >= 0; slot--) merged.merge(3, split, slot)
        expect(bytesOf(merged, 3)).toBe(bytesOf(whole, 0))
        const decoded = new DistinctColumn()
        decoded.decode(0, new ByteReader(Buffer.from(bytesOf(whole, 0), 'hex')))
        expect(decoded.estimate(0)).toBe(whole.estimate(0))
      }),
    )
  })

  it('gives a cleared block to the next slot', () => {
    const column = new DistinctColumn()
    for (let i = 0; i < 100; i++) column.add(0, fmix32(i))
    const held = column.memoryBytes
    column.clear(0)
    for (let i = 0; i < 100; i++) column.add(1, fmix32(i + 7))
    expect(column.memoryBytes).toBe(held)
    expect(column.estimate(0)).toBe(0)
    expect(Math.abs(column.estimate(1) / 100 - 1)).toBeLessThan(0.13)
    column.reset()
    expect(column.estimate(1)).toBe(0)
  })
})

describe('TopKColumn', () => {
  const additions = fc.array(fc.tuple(fc.nat(30), fc.integer({ min: 1, max: 50 })), { maxLength: 200 })

  function totals(adds: [number, number][]): Map<number, number> {
    const byId = new Map<number, number>()
    for (const [id, weight] of adds) byId.set(id, (byId.get(id) ?? 0) + weight)
    return byId
  }

  it('brackets every weight it names and keeps all that is heavier than total / k, merged or not', () => {
    fc.assert(
      fc.property(additions, additions, (left, right) => {
        const column = new TopKColumn(8, 1)
        for (const [id, weight] of left) column.add(0, id, weight)
        for (const [id, weight] of right) column.add(1, id, weight)
        column.merge(2, column, 0)
        column.merge(2, column, 1)
        const truth = totals([...left, ...right])
        const total = [...truth.values()].reduce((a, b) => a + b, 0)
        const top = column.top(2)
        for (const item of top) {
          const weight = truth.get(item.id) as number
          expect(item.weight).toBeGreaterThanOrEqual(weight)
          expect(item.weight - item.error).toBeLessThanOrEqual(weight)
        }
        const ids = new Set(top.map((item) => item.id))
        const heavy = [...truth].filter(([, weight]) => weight > (2 * total) / 8)
        expect(heavy.every(([id]) => ids.has(id))).toBe(true)
      }),
    )
  })

  it('is exact with at most k ids, and travels as bytes', () => {
    const column = new TopKColumn(3)
    for (const [id, weight] of [
      [443, 10],
      [80, 4],
      [443, 2],
      [53, 4],
    ] as const)
      column.add(0, id, weight)
    column.add(0, 1, NaN)
    column.add(0, 1, -5)
    const expected = [
      { id: 443, weight: 12, error: 0 },
      { id: 53, weight: 4, error: 0 },
      { id: 80, weight: 4, error: 0 },
    ]
    expect(column.top(0)).toEqual(expected)
    const copy = new TopKColumn(3)
    copy.decode(40, new ByteReader(Buffer.from(bytesOf(column, 0), 'hex')))
    expect(copy.top(40)).toEqual(expected)
    copy.clear(40)
    expect(copy.top(40)).toEqual([])
    expect(() => new TopKColumn(0)).toThrow(RangeError)
  })
})

describe('MomentsColumn', () => {
  it('equals the two-pass figures, in parts or whole', () => {
    const values = fc.array(fc.double({ min: -1e6, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 60 })
    fc.assert(
      fc.property(values, values, (left, right) => {
        const column = new MomentsColumn(1)
        for (const value of left) column.add(0, value)
        for (const value of right) column.add(1, value)
        column.add(1, NaN)
        column.merge(9, column, 0)
        column.decode(9, new ByteReader(Buffer.from(bytesOf(column, 1), 'hex')))
        const all = [...left, ...right]
        const mean = all.reduce((a, b) => a + b, 0) / all.length
        const variance = all.reduce((a, b) => a + (b - mean) ** 2, 0) / all.length
        const scale = 1e-12 * (1e6 + Math.abs(mean)) * all.length
        expect(column.count(9)).toBe(all.length)
        expect(Math.abs(column.mean(9) - mean)).toBeLessThan(scale)
        expect(Math.abs(column.variance(9) - variance)).toBeLessThan(scale * 1e6)
        expect(column.min(9)).toBe(Math.min(...all))
        expect(column.max(9)).toBe(Math.max(...all))
      }),
    )
  })

  it('says NaN for an empty slot', () => {
    const column = new MomentsColumn()
    expect([column.mean(0), column.variance(0), column.min(0), column.max(7)]).toEqual([NaN, NaN, NaN, NaN])
    expect(column.sum(0)).toBe(0)
  })
})
