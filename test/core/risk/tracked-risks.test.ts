import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { TrackedRisks } from '#core/risk'

const risk = (issuedAtMs: number, raw = 0.3) =>
  ({ issuedAtMs, horizonMs: 30, raw, limit: 100, side: 'above' }) as const

test('an outcome counts once the horizon is over, and overlapping risks count once', () => {
  const tracked = new TrackedRisks()
  tracked.issue('a', risk(0))
  tracked.observe('a', 10, 150)
  tracked.issue('a', risk(10))
  tracked.observe('a', 20, 50)
  expect(tracked.calibration.outcomes).toBe(0)
  tracked.observe('a', 30, 50)
  expect(tracked.calibration.outcomes).toBe(1)
  expect(tracked.calibration.calibrate(0.3)).toBeGreaterThan(0.3)
  tracked.observe('a', 40, 150)
  expect(tracked.calibration.outcomes).toBe(1)
})

test('what comes after the horizon does not count, also if the series was silent meanwhile', () => {
  const tracked = new TrackedRisks()
  tracked.issue('a', risk(0))
  tracked.observe('a', 31, 150)
  expect(tracked.calibration.outcomes).toBe(1)
  expect(tracked.calibration.calibrate(0.3)).toBeLessThan(0.3)
})

test('below: a value under the limit crosses', () => {
  const tracked = new TrackedRisks()
  tracked.issue('a', { ...risk(0), side: 'below' })
  tracked.observe('a', 30, 99)
  expect(tracked.calibration.calibrate(0.3)).toBeGreaterThan(0.3)
})

test('what is not known teaches nothing', () => {
  const tracked = new TrackedRisks()
  expect(tracked.issue('a', risk(0, Number.NaN))).toBeNaN()
  tracked.issue('b', { ...risk(0), limit: Number.NaN })
  tracked.observe('a', 30, 150)
  tracked.observe('b', 30, 150)
  tracked.observe('c', 30, 150)
  expect(tracked.calibration.outcomes).toBe(0)
})

test('goes on after a restart in the middle of a horizon', () => {
  const straight = new TrackedRisks()
  const first = new TrackedRisks()
  for (const tracked of [straight, first]) {
    tracked.issue('a', risk(0))
    tracked.issue('b', { ...risk(5, 0.7), side: 'below' })
    tracked.observe('a', 10, 150)
  }
  const writer = new ByteWriter()
  first.encode(writer)
  const second = new TrackedRisks()
  second.decode(new ByteReader(writer.view()))
  for (const tracked of [straight, second]) {
    tracked.observe('a', 30, 50)
    tracked.observe('b', 35, 50)
  }
  expect(second.calibration.outcomes).toBe(2)
  expect(second.calibration.calibrate(0.4)).toBe(straight.calibration.calibrate(0.4))
})

test('a level near the limit is held against a forecast that does not see it, on either side', () => {
  const said = (side: 'above' | 'below', last: number): number => {
    const tracked = new TrackedRisks()
    const [near, far, beyond] = side === 'above' ? [99, 60, 120] : [101, 160, 80]
    for (let i = 0; i < 600; i++) {
      // Half of the series stood near their limit, and cross it in the end; the forecast says 0.3 of all.
      const level = i % 2 === 0 ? near : far
      tracked.issue(`k${i}`, { ...risk(0), side })
      tracked.observe(`k${i}`, 30, level)
      tracked.issue(`k${i}`, { ...risk(30), side })
      tracked.observe(`k${i}`, 60, i % 2 === 0 ? beyond : level)
    }
    tracked.issue('new', { ...risk(0), side })
    tracked.observe('new', 30, last)
    return tracked.issue('new', { ...risk(30), side })
  }
  expect(said('above', 99)).toBeGreaterThan(said('above', 60) + 0.2)
  expect(said('below', 101)).toBeGreaterThan(said('below', 160) + 0.2)
})
