import { describe, expect, test } from 'vitest'
import { mulberry32 } from '#core/ports'
import { nearestRank, sorted } from '#core/evaluation'
import { createHedgeBudget, createInstancePicker } from '../../../pipelines/data-sharding/router/index.ts'
import { type Simulated, simulate } from './simulation.ts'

const load: Omit<Simulated, 'delayMs' | 'picker' | 'hedge'> = {
  seed: 4,
  instances: 5,
  perSecond: 200,
  seconds: 30,
  serviceMs: 5,
  places: 4,
}
const p999 = (options: Pick<Simulated, 'delayMs' | 'picker' | 'hedge'>): number =>
  nearestRank(sorted(simulate({ ...load, ...options }).latencies), 0.999)

describe('with 20 % of the instances slowed by 100 ms, p99.9 against plain power of two choices', () => {
  test.each([
    ['the same one all the time', (i: number) => (i === 1 ? 100 : 0), 3, 3],
    ['another one every 15 s', (i: number, t: number) => (i === Math.floor(t / 15_000) % 5 ? 100 : 0), 3, 3],
    // Nobody can know of a pause before it has begun: only the second request helps.
    ['pauses of half a second', (i: number, t: number) => (i === 1 && t % 2000 < 500 ? 100 : 0), 0.9, 2.5],
    ['nobody is slow: no harm', () => 0, 0.9, 0.9],
  ] as const)('%s', (_, delayMs, target, hedgedTarget) => {
    const plain = p999({ delayMs, picker: 'two choices', hedge: false })
    expect(plain / p999({ delayMs, picker: 'ours', hedge: false })).toBeGreaterThan(target)
    expect(plain / p999({ delayMs, picker: 'ours', hedge: true })).toBeGreaterThan(hedgedTarget)
  })

  test('second requests stay within their budget', () => {
    const { hedges, latencies } = simulate({
      ...load,
      delayMs: (i) => (i < 3 ? 50 : 0),
      picker: 'ours',
      hedge: true,
    })
    expect(hedges).toBeGreaterThan(0)
    expect(hedges).toBeLessThan(0.05 * latencies.length + 21)
  })
})

test('an instance that is down is left alone until a probe succeeds', () => {
  const picker = createInstancePicker(['a', 'b'], mulberry32(1))
  picker.down(0, 0)
  for (let i = 0; i < 50; i++) expect(picker.pick([0, 1], 1, 10)).toBe(1)
  expect(picker.probesDue(100)).toEqual([])
  expect(picker.probesDue(300)).toEqual([0])
  picker.probed(0, null, 310)
  expect(picker.pick([0], 1, 320)).toBe(0) // better than nobody
  expect(picker.isOut(0)).toBe(true)
  picker.probed(0, 1, 900)
  expect(picker.isOut(0)).toBe(false)
})

test('the forecast decides where the load says nothing, the load where it does', () => {
  const picker = createInstancePicker(['a', 'b'], mulberry32(2))
  const share =
    Array.from({ length: 2000 }, () => picker.pick([0, 1], 1, 0, [0.9, 0.1])).filter((i) => i === 0).length /
    2000
  expect(share).toBeGreaterThan(0.85)
  picker.begin(0, 5, 0)
  expect(Array.from({ length: 20 }, () => picker.pick([0, 1], 1, 1, [0.9, 0.1]))).toEqual(Array(20).fill(1))
})

test('instances that are as fast, but for noise, get the shares of the forecast while they are idle', () => {
  const picker = createInstancePicker(['a', 'b'], mulberry32(5))
  const times = mulberry32(6)
  const given = [0, 0]
  for (let q = 0; q < 4000; q++) {
    const i = picker.pick([0, 1], 10, q * 100, [0.5, 0.5])
    picker.begin(i, 10, q * 100)
    picker.answered(i, 10, q * 100, q * 100 + 5 + 10 * times.uniform(), true)
    picker.end(i, 10)
    given[i] = (given[i] ?? 0) + 1
  }
  expect((given[0] ?? 0) / 4000).toBeGreaterThan(0.45)
  expect((given[0] ?? 0) / 4000).toBeLessThan(0.55)
})

test('with one candidate there is nothing to choose, with none there is nobody', () => {
  const picker = createInstancePicker(['a', 'b'], mulberry32(3))
  expect(picker.pick([1], 1, 0)).toBe(1)
  expect(picker.pick([], 1, 0)).toBe(-1)
  expect(picker.pick([1], 1, 0, undefined, 1)).toBe(-1)
})

test('the delay of a second request follows what answers take', () => {
  const budget = createHedgeBudget({ quantile: 0.95, share: 0.05, burst: 2 })
  for (let i = 0; i < 1000; i++) budget.note(10, i % 20 === 0 ? 80 : 12)
  expect(budget.delayMs(10)).toBeGreaterThan(12)
  expect(budget.delayMs(10)).toBeLessThan(20)
  expect([budget.take(), budget.take(), budget.take()]).toEqual([true, true, false])
})
