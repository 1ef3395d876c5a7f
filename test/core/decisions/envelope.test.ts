import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { decisionId, nextEpoch } from '#core/decisions'
import { mulberry32 } from '#core/ports'
import { decision, reason } from './fixtures.ts'

test('ids are UUIDs of version 7, sort by time, and repeat for the same time and random state', () => {
  const id = decisionId(0x0191_2345_6789, mulberry32(1))
  expect(id).toMatch(/^01912345-6789-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(decisionId(0x0191_2345_6789, mulberry32(1))).toBe(id)
  const later = decisionId(0x0191_2345_678a, mulberry32(99))
  expect(id < later).toBe(true)
})

test('ids of one moment do not collide', () => {
  const random = mulberry32(7)
  const ids = new Set(Array.from({ length: 20_000 }, () => decisionId(1_700_000_000_000, random)))
  expect(ids.size).toBe(20_000)
})

test('the epoch never falls back, whatever the clock does', () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 2 ** 41 }), { minLength: 2 }), (times) => {
      let epoch = 0
      for (const atMs of times) {
        const next = nextEpoch(epoch, atMs)
        expect(next).toBeGreaterThan(epoch)
        expect(next).toBeGreaterThanOrEqual(atMs)
        epoch = next
      }
    }),
  )
})

test('an epoch known from a tombstoned decision counts', () => {
  expect(decision('west', { lastEpoch: 5_000_000 }).epoch).toBe(5_000_001)
  expect(decision('west').epoch).toBe(1_000_000)
})

test('a reason without figures, a share outside 0..1 and a life of nothing are refused', () => {
  expect(() => decision('west', { reason: reason({ cost_now: Number.NaN }) })).toThrow(/cost_now/)
  expect(() => decision('west', { reason: reason({ risk: 1.2 }) })).toThrow(/risk/)
  expect(() => decision('west', { mode: 'canary', canaryShare: 0 })).toThrow(/share/)
  expect(() => decision('west', { lifeMs: 0 })).toThrow(/life/)
})

test('placement has no expiry, a preference has', () => {
  expect(decision('west', { lifeMs: null }).expires_at_ms).toBeNull()
  expect(decision('west', { lifeMs: 10 }).expires_at_ms).toBe(1_000_010)
})
