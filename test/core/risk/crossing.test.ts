import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  horizonRisk,
  probabilityAbove,
  probabilityBelow,
  probabilityCrossed,
  STEP_DEPENDENCE,
} from '../../../pipelines/core/risk/index.ts'

const number = fc.double({ min: -1e6, max: 1e6, noNaN: true })
const quantiles = fc
  .array(number, { minLength: 6, maxLength: 6 })
  .map((values) => values.sort((a, b) => a - b))
const side = fc.constantFrom('above' as const, 'below' as const)

/** Quantiles of the normal distribution. */
const NORMAL = [-1.96, -1.2816, 0, 1.2816, 1.96, 2.3263]

describe('probabilityAbove and probabilityBelow', () => {
  it('is a probability and never rises with the limit', () => {
    fc.assert(
      fc.property(quantiles, number, number, (q, a, b) => {
        const [low, high] = a < b ? [a, b] : [b, a]
        for (const limit of [low, high, -Infinity, Infinity]) {
          expect(probabilityAbove(q, limit)).toBeGreaterThanOrEqual(0)
          expect(probabilityAbove(q, limit)).toBeLessThanOrEqual(1)
        }
        expect(probabilityAbove(q, low)).toBeGreaterThanOrEqual(probabilityAbove(q, high))
        expect(probabilityBelow(q, low)).toBeLessThanOrEqual(probabilityBelow(q, high))
      }),
    )
  })

  it('never falls when all quantiles are shifted up, or one is raised and the limit lies among them', () => {
    fc.assert(
      fc.property(
        quantiles,
        number,
        fc.nat(5),
        fc.double({ min: 0, max: 1e6, noNaN: true }),
        (q, limit, i, by) => {
          const before = probabilityAbove(q, limit)
          const lifted = q.map((value) => value + by)
          expect(probabilityAbove(lifted, limit)).toBeGreaterThanOrEqual(before - 1e-6)
          const raised = q.map((value, level) =>
            level >= i ? Math.max(value, (q[i] as number) + by) : value,
          )
          const isInside = limit >= (raised[0] as number) && limit <= (q[5] as number)
          expect(!isInside || probabilityAbove(raised, limit) >= before - 1e-9).toBe(true)
        },
      ),
    )
  })

  it('both sides add up to 1, except for what stands on the limit', () => {
    fc.assert(
      fc.property(quantiles, number, (q, limit) => {
        expect(probabilityAbove(q, limit) + probabilityBelow(q, limit)).toBeLessThanOrEqual(1 + 1e-9)
        const isOff = !q.includes(limit)
        expect(!isOff || Math.abs(probabilityAbove(q, limit) + probabilityBelow(q, limit) - 1) < 1e-9).toBe(
          true,
        )
      }),
    )
  })

  it.each([
    [-1.96, 0.975],
    [-1.2816, 0.9],
    [0, 0.5],
    [1.2816, 0.1],
    [1.96, 0.025],
    [2.3263, 0.01],
  ])('meets the quantile at %d', (limit, expected) => {
    expect(probabilityAbove(NORMAL, limit)).toBeCloseTo(expected, 9)
  })

  it('comes close to the normal tail between and beyond the quantiles', () => {
    const upper = [
      [0.5, 0.3085],
      [1, 0.1587],
      [1.6, 0.0548],
      [3, 0.00135],
    ] as const
    for (const [limit, truth] of upper) {
      expect(probabilityAbove(NORMAL, limit) / truth).toBeGreaterThan(0.7)
      expect(probabilityAbove(NORMAL, limit) / truth).toBeLessThan(2)
      expect(probabilityBelow(NORMAL, -limit) / truth).toBeLessThan(5)
    }
  })

  it('knows a constant: never beyond it, always short of it', () => {
    const five = [5, 5, 5, 5, 5, 5]
    expect(probabilityAbove(five, 5.1)).toBe(0)
    expect(probabilityAbove(five, 4.9)).toBe(1)
    expect(probabilityAbove(five, 5)).toBeCloseTo(0.01, 12)
    expect(probabilityBelow(five, 4.9)).toBe(0)
    expect(probabilityBelow(five, 5)).toBeCloseTo(0.025, 12)
    expect(probabilityAbove(five, NaN)).toBeNaN()
  })
})

describe('horizonRisk', () => {
  it('lies between the worst step and independence, with and without draws', () => {
    const path = fc.array(number, { minLength: 12, maxLength: 12 })
    fc.assert(
      fc.property(
        fc.array(quantiles, { minLength: 3, maxLength: 3 }),
        number,
        side,
        path,
        (steps, limit, which, values) => {
          const q = steps.flat()
          const each = [0, 6, 12].map((at) => probabilityCrossed(q, limit, which, at))
          const worst = Math.max(...each)
          const independent = 1 - each.reduce((none, p) => none * (1 - p), 1)
          for (const draws of [undefined, { values, count: 4 }]) {
            const found = horizonRisk(q, 3, limit, which, draws)
            expect(found.probability).toBeGreaterThanOrEqual(worst - 1e-12)
            expect(found.probability).toBeLessThanOrEqual(Math.max(worst, independent) + 1e-9)
            expect(found.worstStep).toBe(each.indexOf(worst) + 1)
          }
        },
      ),
    )
  })

  it('follows the rule without draws, and the share of crossing paths with them', () => {
    const steps = [...NORMAL, ...NORMAL]
    const p = probabilityAbove(NORMAL, 1)
    expect(horizonRisk(steps, 2, 1, 'above').probability).toBeCloseTo(1 - (1 - p) ** (2 - STEP_DEPENDENCE), 9)
    const first = [2, 0, 0, 0, 0, 0, 0, 0, 0]
    const together = { values: [...first, ...first], count: 9 }
    expect(horizonRisk(steps, 2, 1, 'above', together).probability).toBeCloseTo(1.5 / 10, 9)
    const apart = { values: [...first, ...first.toReversed()], count: 9 }
    expect(horizonRisk(steps, 2, 1, 'above', apart).probability).toBeCloseTo(2.5 / 10, 9)
  })
})
