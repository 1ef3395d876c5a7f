import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Shard } from '#schemas'
import { mulberry32 } from '#core/ports'
import {
  carryPlacement,
  createShareHistogram,
  DEFAULT_SHARD_POLICIES,
  FLOW_DEPTH,
  type ShardPolicies,
  type SizeShardsInput,
  sizeAllShards,
  sizeShards,
} from '../../../pipelines/traffic-routing/shards/index.ts'

/** Flows of a made-up stream: few heavy ones, many light ones. */
function tree(seed: number, flows: number, skew: number) {
  const histogram = createShareHistogram()
  const random = mulberry32(seed)
  for (let rank = 1; rank <= flows; rank++) histogram.add(random.uint32(), rank ** -skew)
  return histogram.tree()
}

const cases = fc.record({
  seed: fc.integer({ min: 1, max: 1000 }),
  standingSeed: fc.integer({ min: 1, max: 1000 }),
  flows: fc.integer({ min: 0, max: 3000 }),
  skew: fc.double({ min: 0, max: 2, noNaN: true }),
  trafficShare: fc.double({ min: 0, max: 1, noNaN: true }),
  risks: fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true })),
  cap: fc.constantFrom(0.0003, 0.001, 0.004, 0.05),
  critical: fc.boolean(),
  minRegions: fc.integer({ min: 1, max: 3 }),
  maxShards: fc.integer({ min: 8, max: 600 }),
  withStanding: fc.boolean(),
})

type Case = typeof cases extends fc.Arbitrary<infer T> ? T : never

function inputs(c: Case): { low: SizeShardsInput; high: SizeShardsInput } {
  const policies: ShardPolicies = {
    ...DEFAULT_SHARD_POLICIES,
    cap: c.cap,
    critical: c.critical,
    minRegions: c.minRegions,
    regions: ['a', 'b', 'c'],
    maxShards: c.maxShards,
  }
  const base = {
    stream: 'x',
    shareByPrefix: tree(c.seed, c.flows, c.skew),
    streamBytesShare: c.trafficShare,
    policies,
  }
  const past = { ...base, shareByPrefix: tree(c.standingSeed, c.flows, c.skew), risk: 0.5 }
  const standing = c.withStanding ? sizeShards(past) : []
  const [a, b] = c.risks
  return {
    low: { ...base, standing, risk: Math.min(a, b) },
    high: { ...base, standing, risk: Math.max(a, b) },
  }
}

const heaviest = (shards: readonly Shard[]) => Math.max(...shards.map((shard) => shard.share))

function expectPartition(shards: readonly Shard[]) {
  let at = 0
  for (const { depth, prefix } of shards) {
    expect(prefix / 2 ** depth).toBe(at)
    at += 2 ** -depth
  }
  expect(at).toBe(1)
}

describe('sizeShards', () => {
  it('covers the ring once, within the limits, with ids that say what they cover', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const { high } = inputs(c)
        const shards = sizeShards(high)
        expectPartition(shards)
        expect(shards.length).toBeLessThanOrEqual(c.maxShards)
        for (const shard of shards) {
          expect(shard.shard_id).toBe(`x/${shard.depth}/${shard.prefix}`)
          expect(shard.depth).toBeLessThanOrEqual(12)
          expect(shard.depth).toBeGreaterThanOrEqual(c.critical ? 3 : 0)
        }
      }),
    )
  })

  it('never makes a shard larger or un-nests one when only the risk rises', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const { low, high } = inputs(c)
        const before = sizeShards(low)
        const after = sizeShards(high)
        expect(heaviest(after)).toBeLessThanOrEqual(heaviest(before))
        const held = new Set(before.map((shard) => shard.shard_id))
        for (const { depth, prefix } of after) {
          const above = Array.from(
            { length: depth + 1 },
            (_, d) => `x/${d}/${Math.floor(prefix / 2 ** (depth - d))}`,
          )
          expect(above.some((id) => held.has(id))).toBe(true)
        }
      }),
      { numRuns: 300 },
    )
  })

  it('keeps what stands when nothing has changed', () => {
    fc.assert(
      fc.property(cases, (c) => {
        const { high } = inputs(c)
        const once = sizeShards(high)
        expect(sizeShards({ ...high, standing: once })).toEqual(once)
      }),
    )
  })

  it('holds the cap wherever another cut is allowed', () => {
    const shareByPrefix = tree(3, 4096, 1.1)
    const policies = { ...DEFAULT_SHARD_POLICIES, cap: 0.001, maxShards: 4096 }
    for (const risk of [0, 0.3, 1]) {
      const shards = sizeShards({ stream: 'x', shareByPrefix, streamBytesShare: 0.05, risk, policies })
      const open = shards.filter(({ depth }) => depth < 12)
      expect(heaviest(open) * 0.05).toBeLessThanOrEqual(0.001 * (1 - 0.75 * risk))
    }
  })

  it('joins halves only once they are well below the cap', () => {
    const shareByPrefix = createShareHistogram().tree()
    const policies = { ...DEFAULT_SHARD_POLICIES, cap: 0.01, mergeBelow: 0.5 }
    const sized = (streamBytesShare: number, standing: readonly Shard[]) =>
      sizeShards({ stream: 'x', shareByPrefix, streamBytesShare, risk: 0, policies, standing })
    const busy = sized(0.012, [])
    expect(busy.map((shard) => shard.depth)).toEqual([1, 1])
    expect(sized(0.006, busy)).toEqual(busy)
    expect(sized(0.0049, busy).map((shard) => shard.depth)).toEqual([0])
    expect(sized(0.006, []).map((shard) => shard.depth)).toEqual([0])
  })

  it('gives a flow above the cap an entry of its own', () => {
    const histogram = createShareHistogram()
    histogram.add(0xdeadbeef, 500)
    for (let i = 0; i < 500; i++) histogram.add(Math.imul(i, 0x9e3779b1) >>> 0, 1)
    const shards = sizeShards({
      stream: 'x',
      shareByPrefix: histogram.tree(),
      streamBytesShare: 0.01,
      risk: 0,
      policies: DEFAULT_SHARD_POLICIES,
      heavyFlows: histogram.heavy(0.01),
    })
    const flow = shards.at(-1)!
    expect(flow).toMatchObject({ shard_id: `x/32/3735928559`, depth: FLOW_DEPTH, prefix: 0xdeadbeef })
    expect(flow.share).toBeCloseTo(0.5, 2)
    expectPartition(shards.slice(0, -1))
    expect(shards.reduce((sum, shard) => sum + shard.share, 0)).toBeCloseTo(1, 9)
  })

  it('refuses a risk or share that is not a number from 0 to 1', () => {
    const input = {
      stream: 'x',
      shareByPrefix: tree(1, 10, 1),
      streamBytesShare: 0.1,
      risk: Number.NaN,
      policies: DEFAULT_SHARD_POLICIES,
    }
    expect(() => sizeShards(input)).toThrow(expect.objectContaining({ code: 'RECORD_INVALID' }))
  })
})

describe('sizeAllShards', () => {
  const inputs = (count: number, critical: boolean): SizeShardsInput[] =>
    Array.from({ length: count }, (_, k) => ({
      stream: `s${k}`,
      shareByPrefix: tree(k + 1, 4096, 1.1),
      streamBytesShare: 1 / count,
      risk: k / count,
      policies: { ...DEFAULT_SHARD_POLICIES, critical },
    }))

  it('leaves the configured caps alone while they give few enough shards', () => {
    const streams = inputs(10, false)
    expect(sizeAllShards(streams, 100_000)).toEqual(streams.map(sizeShards))
  })

  it('raises all caps just enough to stay within the limit', () => {
    const total = sizeAllShards(inputs(10, false), 300).flat().length
    expect(total).toBeLessThanOrEqual(300)
    expect(total).toBeGreaterThan(285)
  })

  it('says so when the policies alone ask for more', () => {
    expect(() => sizeAllShards(inputs(10, true), 79)).toThrow(
      expect.objectContaining({ code: 'POLICY_CONTRADICTS', cure: expect.stringContaining('80') as string }),
    )
    expect(sizeAllShards(inputs(10, true), 80).flat()).toHaveLength(80)
  })
})

describe('carryPlacement', () => {
  const shard = (depth: number, prefix: number): Shard => ({
    shard_id: `x/${depth}/${prefix}`,
    depth,
    prefix,
    share: 0,
    priority: 5,
    critical: false,
    min_regions: 1,
  })

  it('leaves the parts of a cut shard where it was', () => {
    const standing = [
      { depth: 1, prefix: 0, path: 'p' },
      { depth: 1, prefix: 1, path: 'q' },
    ]
    expect(carryPlacement(standing, [shard(2, 0), shard(2, 1), shard(1, 1)])).toEqual(['p', 'p', 'q'])
  })

  it('puts joined halves where most of their ring was', () => {
    const standing = [
      { depth: 2, prefix: 0, path: 'p' },
      { depth: 2, prefix: 1, path: 'p' },
      { depth: 1, prefix: 1, path: 'q' },
      { depth: 32, prefix: 7, path: 'q' },
    ]
    expect(carryPlacement(standing, [shard(1, 0), shard(1, 1), shard(32, 7), shard(32, 0xffffffff)])).toEqual(
      ['p', 'q', 'q', 'q'],
    )
    expect(carryPlacement([], [shard(0, 0)])).toEqual([undefined])
  })
})
