import { describe, expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { mulberry32 } from '#core/ports'
import { LateBudget } from '../../pipelines/data-sharding/late-budget.ts'
import { ScalePolicy } from '../../pipelines/data-sharding/scale-policy.ts'

const DAY = 24
const OPTIONS = {
  day: DAY,
  week: 7 * DAY,
  leadSteps: 2,
  patience: 4,
  lateShare: 0.003,
  capacity: 100,
  min: 1,
  max: 40,
  announced: () => 0,
}
/** Load that an instance serves in time. */
const FULL = 94.5
/** 500 to 1,500, the same each day. */
const daily = (t: number) => 1000 - 500 * Math.cos((2 * Math.PI * t) / DAY)

/** What was wanted at the start of each step, before its load was seen. */
function wishes(load: (t: number) => number, steps: number, options = OPTIONS): number[] {
  const policy = new ScalePolicy(options)
  return Array.from({ length: steps }, (_, t) => {
    const { instances } = policy.wanted()
    policy.observe(load(t))
    return instances
  })
}

/** What is there by those wishes: more after the lead, fewer once fewer were wanted for as long as it takes. */
function there(wanted: readonly number[]): number[] {
  const { leadSteps, patience } = OPTIONS
  let up = 0
  return wanted.map((_, t) => {
    const held = Math.max(...wanted.slice(Math.max(0, t - patience + 1), t + 1))
    const ordered = t < leadSteps ? 0 : wanted[t - leadSteps]!
    up = Math.max(Math.min(up, held), Math.min(ordered, held))
    return up
  })
}

describe('wishes of the scaler', () => {
  test('on a cycle that it knows, just what is needed is there: up in time, and down as soon as it is not needed', () => {
    // Two weeks after the errors of the first days are forgotten.
    const count = 24 * DAY
    const up = there(wishes(daily, count))
    const last = Array.from({ length: 3 * DAY }, (_, k) => count - 3 * DAY + k)
    const need = last.map((t) => Math.ceil(daily(t) / FULL))
    last.forEach((t, k) => expect(up[t]).toBeGreaterThanOrEqual(need[k]!))
    const sum = (list: readonly number[]) => list.reduce((a, b) => a + b, 0)
    // One instance more for half of the time would be 4 %; following the load 3 steps late alone costs as much.
    expect(sum(last.map((t) => up[t]!)) / sum(need)).toBeLessThan(1.05)
  })

  test('a smaller share of late work takes more instances', () => {
    const random = mulberry32(5)
    const noise = Float64Array.from({ length: 40 * DAY }, () => (random.uniform() < 0.02 ? 600 : 0))
    const load = (t: number) => daily(t) + noise[t]!
    const hours = (lateShare: number) =>
      wishes(load, noise.length, { ...OPTIONS, lateShare })
        .slice(10 * DAY)
        .reduce((a, b) => a + b, 0)
    expect(hours(0.05)).toBeLessThan(0.9 * hours(0.001))
  })

  test('goes on from a snapshot as if nothing had happened', () => {
    const straight = new ScalePolicy(OPTIONS)
    let broken = new ScalePolicy(OPTIONS)
    const random = mulberry32(2)
    for (let t = 0; t < 10 * DAY; t++) {
      expect(broken.wanted()).toEqual(straight.wanted())
      const load = daily(t) + 100 * random.uniform()
      straight.observe(load)
      broken.observe(load)
      if (t % 17 !== 16) continue
      const out = new ByteWriter()
      broken.encode(out)
      broken = new ScalePolicy(OPTIONS)
      broken.decode(new ByteReader(out.take()))
    }
  })
})

describe('the budget of late work', () => {
  const OF = { share: 0.01, leadSteps: 1, day: 10, memory: 1000 }
  /** The price after steps in each of which a share of the work is expected to be late, and what is above a limit is. */
  const priceAfter = (steps: number, share: number, total: (t: number) => number) => {
    const budget = new LateBudget(OF)
    for (let t = 0; t < steps; t++) {
      budget.expect(100, 100 * share, 120)
      budget.observe(total(t))
    }
    return budget.price
  }

  test('rises while less is expected to be late than is allowed, falls while more is, and stays where they are even', () => {
    const asExpected = (t: number) => (t % 100 === 99 ? 200 : 99)
    const first = new LateBudget(OF).price
    expect(priceAfter(300, 0.001, () => 100)).toBeGreaterThan(2 * first)
    expect(priceAfter(300, 0.05, () => 100)).toBeLessThan(first)
    expect(priceAfter(300, 0.01, asExpected) / first).toBeCloseTo(1, 0)
  })

  test('falls once more really was late than expected', () => {
    const calm = priceAfter(400, 0.01, () => 100)
    const late = priceAfter(400, 0.01, (t) => (t % 10 === 0 ? 200 : 90))
    expect(late).toBeLessThan(0.5 * calm)
  })

  test('one load beyond everything moves it little', () => {
    const budget = new LateBudget(OF)
    for (let t = 0; t < 100; t++) budget.expect(100, 1, 120)
    const before = budget.price
    budget.expect(100, 1e6, 120)
    expect(budget.price).toBeGreaterThan(0.85 * before)
  })
})
