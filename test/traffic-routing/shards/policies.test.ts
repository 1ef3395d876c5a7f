import { describe, expect, it } from 'vitest'
import {
  checkShardPolicies,
  DEFAULT_SHARD_POLICIES,
  maxRegionShare,
  minDepth,
  type ShardPolicies,
} from '../../../pipelines/traffic-routing/shards/index.ts'

const check = (policies: Partial<ShardPolicies>) => () =>
  checkShardPolicies('video', { ...DEFAULT_SHARD_POLICIES, regions: ['eu', 'us'], ...policies })

describe('shard policies', () => {
  it('accepts the defaults and what they can be combined with', () => {
    expect(check({})).not.toThrow()
    expect(check({ critical: true, priority: 0, minRegions: 2 })).not.toThrow()
  })

  it.each([
    [{ minRegions: 3 }, 'shards.video.minRegions = 3', 'Set minRegions to 2 or less'],
    [{ critical: true, maxShards: 4 }, 'shards.video.maxShards = 4', 'Set maxShards to 8 or more'],
    [{ priority: 0 }, 'shards.video.priority = 0', 'Set critical to true'],
  ])('names field, value and cure of a contradiction: %j', (policies, field, cure) => {
    expect(check(policies)).toThrow(
      expect.objectContaining({
        code: 'POLICY_CONTRADICTS',
        message: expect.stringContaining(field) as string,
        cure: expect.stringContaining(cure) as string,
      }),
    )
  })

  it.each([
    { cap: 0 },
    { cap: Number.NaN },
    { riskShrink: 1 },
    { mergeBelow: 0 },
    { minRegions: 0 },
    { criticalMinDepth: 13 },
  ])('refuses %j', (policies) => {
    expect(check(policies)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
  })

  it('limits a region so that at least k regions are needed, at a depth that can be dealt out', () => {
    expect(maxRegionShare(1)).toBe(1)
    for (let k = 2; k <= 40; k++) {
      const limit = maxRegionShare(k)
      expect(limit).toBeLessThan(1 / (k - 1))
      expect(limit).toBeGreaterThanOrEqual(1 / k)
      const pieces = limit * 2 ** minDepth({ ...DEFAULT_SHARD_POLICIES, minRegions: k })
      expect(Number.isInteger(pieces)).toBe(true)
    }
  })
})
