import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  brierScore,
  calibrate,
  calibrationError,
  fitCalibration,
  IDENTITY,
  reliability,
} from '../../../pipelines/core/risk/index.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

/** Forecasters who say p where the truth is p squared. */
function overconfident(count: number, seed: number): { said: number[]; hit: number[] } {
  const random = mulberry32(seed)
  const said = Array.from({ length: count }, () => random.uniform())
  return { said, hit: said.map((p) => (random.uniform() < p * p ? 1 : 0)) }
}

const times = (count: number, value: number): number[] => Array.from({ length: count }, () => value)

describe('calibration', () => {
  it('is monotone and a probability, whatever the outcomes', () => {
    const pair = fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.constantFrom(0, 1))
    const unit = fc.double({ min: 0, max: 1, noNaN: true })
    fc.assert(
      fc.property(fc.array(pair, { minLength: 50, maxLength: 120 }), unit, unit, (pairs, a, b) => {
        const map = fitCalibration(
          pairs.map(([p]) => p),
          pairs.map(([, hit]) => hit),
        )
        const [low, high] = a < b ? [a, b] : [b, a]
        expect(calibrate(map, low)).toBeLessThanOrEqual(calibrate(map, high) + 1e-12)
        expect(calibrate(map, low)).toBeGreaterThanOrEqual(0)
        expect(calibrate(map, high)).toBeLessThanOrEqual(1)
      }),
    )
  })

  it('mends an overconfident forecaster on outcomes it was not fitted on', () => {
    const past = overconfident(4000, 1)
    const later = overconfident(4000, 2)
    const map = fitCalibration(past.said, past.hit)
    const mended = later.said.map((p) => calibrate(map, p))
    expect(calibrationError(later.said, later.hit)).toBeGreaterThan(0.14)
    expect(calibrationError(mended, later.hit)).toBeLessThan(0.04)
    expect(brierScore(mended, later.hit)).toBeLessThan(brierScore(later.said, later.hit) - 0.02)
  })

  it('stays the identity while little is known', () => {
    const few = overconfident(49, 3)
    expect(fitCalibration(few.said, few.hit)).toBe(IDENTITY)
    expect(fitCalibration(times(100, 0.2), times(100, 0))).toBe(IDENTITY)
    expect([0, 0.3, 1].map((p) => calibrate(IDENTITY, p))).toEqual([0, 0.3, 1])
  })

  it('pools violators to their mean', () => {
    const said = [...times(50, 0.2), ...times(50, 0.6)]
    const hit = said.map((_, i) => (i % 5 === 0 ? 1 : 0))
    const map = fitCalibration(said, hit)
    expect(map.raw.length).toBe(1)
    expect(calibrate(map, 0.9)).toBeCloseTo((20 + 0.4) / 101, 9)
  })
})

describe('scores', () => {
  it('are what their names say', () => {
    expect(brierScore([1, 0, 0.5], [1, 0, 1])).toBeCloseTo(0.25 / 3, 12)
    expect(calibrationError([0.05, 0.05, 0.95, 1], [0, 0, 1, 1])).toBeCloseTo((0.1 + 0.05) / 4, 12)
    expect(reliability([0.05, 0.15, 0.15, 1], [0, 0, 1, 1])).toEqual([
      { count: 1, meanProbability: 0.05, frequency: 0 },
      { count: 2, meanProbability: 0.15, frequency: 0.5 },
      { count: 1, meanProbability: 1, frequency: 1 },
    ])
    expect(brierScore([], [])).toBeNaN()
    expect(calibrationError([], [])).toBeNaN()
  })
})
