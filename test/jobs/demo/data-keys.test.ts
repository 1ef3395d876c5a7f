import { describe, expect, test } from 'vitest'
import { manualClock, mulberry32 } from '#core/ports'
import { createBalance } from '../../../jobs/demo/data-balance.ts'
import { createHotKeys } from '../../../jobs/demo/data-keys.ts'
import { createMoveCounts } from '../../../jobs/demo/data-moves.ts'

const LOAD = { keys: 200, alpha: 1.1, phaseMs: 20_000, phases: 3, queriesPerSecond: 60 }

/** The keys asked for most in one phase. */
function hottest(atMs: number, count: number): string[] {
  const hotKeys = createHotKeys(LOAD)
  const random = mulberry32(7)
  const counts = new Map<string, number>()
  for (let i = 0; i < 20_000; i++) {
    const key = hotKeys.draw(atMs, random)
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return [...counts]
    .toSorted((a, b) => b[1] - a[1])
    .slice(0, count)
    .map(([key]) => key)
}

describe('the load', () => {
  test('the hot keys move with each phase, and come back after a day', () => {
    const [first, second, third, again] = [0, 20_000, 40_000, 60_000].map((at) => hottest(at, 5))
    expect(first).toHaveLength(5)
    for (const other of [second, third]) expect(first?.some((key) => other?.includes(key))).toBe(false)
    expect(again).toEqual(first)
  })

  test('the first key has its share by the law of Zipf', () => {
    const hotKeys = createHotKeys(LOAD)
    const random = mulberry32(3)
    const draws = Array.from({ length: 50_000 }, () => hotKeys.draw(0, random))
    const total = Array.from({ length: LOAD.keys }, (_, k) => (k + 1) ** -LOAD.alpha).reduce((a, b) => a + b)
    expect(draws.filter((key) => key === 'c000').length / draws.length).toBeCloseTo(1 / total, 2)
    expect(new Set(draws).size).toBe(LOAD.keys)
  })

  test('the rate goes from half to one and a half of its mean in a day', () => {
    const hotKeys = createHotKeys(LOAD)
    expect([0, 15_000, 30_000, 60_000].map((at) => Math.round(hotKeys.rate(at)))).toEqual([30, 60, 90, 30])
  })
})

test('balance: largest load over the mean, interval by interval, beside what hashing would have done', () => {
  const clock = manualClock(0)
  const balance = createBalance(['i0', 'i1'], 1000, clock, { live: () => 2, hashed: 2 })
  const interval = (live: string[], hashed: string[]): void => {
    for (const name of live) balance.note(name)
    for (const name of hashed) balance.noteHashed(name)
    clock.advance(1000)
  }
  interval(['i0', 'i1'], ['i0', 'i0'])
  interval(['i0', 'i0', 'i0', 'i1'], ['i0', 'i1'])
  expect(balance.report().intervals).toBe(1)
  balance.note('nobody')
  const { live, hashed, intervals } = balance.report()
  expect(intervals).toBe(2)
  expect(live).toEqual({ p50: 1, p99: 1 })
  expect(hashed).toEqual({ p50: 1, p99: 1 })
  clock.advance(5000)
  balance.note('i1')
  expect(balance.report().intervals).toBe(2)
})

test('moves are counted by how they end, with the time to their switch', () => {
  const moves = createMoveCounts()
  const state = { reason: '', began_at_ms: 100, at_ms: 400 } as Parameters<typeof moves.onPhase>[0]
  for (const phase of ['copying', 'joining', 'verifying', 'switched', 'dropping', 'done'] as const)
    moves.onPhase({ ...state, phase })
  moves.onPhase({ ...state, phase: 'failed', reason: 'gone' })
  moves.onPause(12)
  expect(moves.report()).toEqual({
    switched: 1,
    done: 1,
    reversed: 0,
    failed: 1,
    switchMs: { p50: 300, p99: 300 },
    pauseMs: { p50: 12, p99: 12 },
    lastReason: 'gone',
  })
})
