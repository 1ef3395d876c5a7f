import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createShareHistogram } from '../../../pipelines/traffic-routing/shards/index.ts'

const flows = fc.array(
  fc.tuple(fc.integer({ min: 0, max: 2 ** 32 - 1 }), fc.integer({ min: 1, max: 10_000 })),
  {
    minLength: 1,
    maxLength: 200,
  },
)

describe('share histogram', () => {
  it('gives every prefix the share of the bytes under it', () => {
    fc.assert(
      fc.property(flows, fc.integer({ min: 0, max: 12 }), (seen, depth) => {
        const histogram = createShareHistogram()
        for (const [hash, bytes] of seen) histogram.add(hash, bytes)
        const total = seen.reduce((sum, [, bytes]) => sum + bytes, 0)
        const [first] = seen[0]!
        const prefix = Math.floor(first / 2 ** (32 - depth))
        const under = seen.reduce(
          (sum, [hash, bytes]) => (Math.floor(hash / 2 ** (32 - depth)) === prefix ? sum + bytes : sum),
          0,
        )
        expect(histogram.share(depth, prefix)).toBeCloseTo(under / total, 9)
        expect(histogram.tree()[2 ** depth + prefix]).toBeCloseTo(under / total, 9)
      }),
    )
  })

  it('spreads evenly below its resolution, and without any bytes', () => {
    const coarse = createShareHistogram({ bits: 2 })
    expect(coarse.share(3, 1)).toBe(0.125)
    coarse.add(0, 3)
    coarse.add(0xffffffff, 1)
    expect(coarse.share(4, 0)).toBe(0.1875)
    expect(coarse.tree()[16 + 0]).toBeCloseTo(0.1875, 12)
    expect(coarse.tree()[1]).toBeCloseTo(1, 12)
  })

  it('forgets by decay, however often', () => {
    const histogram = createShareHistogram()
    histogram.add(0, 1000)
    for (let i = 0; i < 2000; i++) histogram.decay(0.5)
    histogram.add(0xffffffff, 1)
    expect(histogram.bytes).toBeCloseTo(1, 9)
    expect(histogram.share(1, 1)).toBeCloseTo(1, 9)
    expect(() => histogram.decay(0)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  it('finds every flow above 1/8 of the stream, and never overstates one', () => {
    fc.assert(
      fc.property(flows, (seen) => {
        const histogram = createShareHistogram()
        const exact = new Map<number, number>()
        let total = 0
        for (const [hash, bytes] of seen) {
          histogram.add(hash, bytes)
          exact.set(hash, (exact.get(hash) ?? 0) + bytes)
          total += bytes
        }
        const found = histogram.heavy(0)
        for (const { hash, share } of found)
          expect(share * total).toBeLessThanOrEqual(exact.get(hash)! + 1e-6)
        const large = [...exact].filter(([, bytes]) => bytes > total / 8).map(([hash]) => hash)
        expect(found.map(({ hash }) => hash)).toEqual(expect.arrayContaining(large))
      }),
    )
  })

  it('merges what another histogram saw', () => {
    const [a, b, both] = [
      createShareHistogram({ bits: 8 }),
      createShareHistogram({ bits: 8 }),
      createShareHistogram({ bits: 8 }),
    ]
    for (let i = 0; i < 100; i++) {
      const hash = Math.imul(i, 0x9e3779b1) >>> 0
      ;(i % 2 === 0 ? a : b).add(hash, i)
      both.add(hash, i)
    }
    a.merge(b.sketch())
    expect(a.tree()).toEqual(both.tree())
    expect(() => a.merge({ bins: [1, 2, 3], heavy: [] })).toThrow(
      expect.objectContaining({ code: 'RECORD_INVALID' }),
    )
  })
})
