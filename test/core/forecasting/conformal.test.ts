import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Conformal, LEVELS, QUANTILE_LEVELS } from '../../../pipelines/core/forecasting/index.ts'
import { mulberry32 } from '../../../pipelines/core/ports/index.ts'

const error = fc.oneof(fc.double({ min: -1e12, max: 1e12, noNaN: true }), fc.constantFrom(NaN, 0))

function quantiles(conformal: Conformal, h: number, centre = 0): number[] {
  const out = new Float64Array(LEVELS)
  conformal.quantiles(h, centre, out, 0)
  return [...out]
}

/** Roughly normal noise with standard deviation 1. */
function normal(seed: number): () => number {
  const random = mulberry32(seed)
  return () => Array.from({ length: 12 }, () => random.uniform()).reduce((a, b) => a + b, -6)
}

describe('Conformal', () => {
  it('is finite and ascending after any calibration and any errors', () => {
    fc.assert(
      fc.property(fc.array(error, { maxLength: 60 }), fc.array(error, { maxLength: 40 }), (start, later) => {
        const horizon = 3
        const conformal = new Conformal(horizon)
        const origins = Math.floor(start.length / horizon)
        conformal.calibrate(Float32Array.from(start), origins, 1, 1, 1, 0)
        later.forEach((value, i) => {
          conformal.observe((i % horizon) + 1, value)
        })
        for (let h = 1; h <= horizon; h++) {
          const found = quantiles(conformal, h, 5)
          expect(found.every(Number.isFinite)).toBe(true)
          expect(found).toEqual([...found].sort((a, b) => a - b))
        }
      }),
    )
  })

  it('knows nothing: an honest wide interval, wider with the horizon', () => {
    const conformal = new Conformal(4)
    conformal.calibrate(new Float32Array(0), 0, 1, 2, 2, 0)
    const width = (h: number) =>
      (quantiles(conformal, h)[4] as number) - (quantiles(conformal, h)[0] as number)
    expect(width(1)).toBeCloseTo(2 * 2 * 1.96, 3)
    expect(width(4)).toBeCloseTo(2 * width(1), 3)
  })

  it('takes the quantiles of the errors it is given', () => {
    const draw = normal(7)
    const origins = 2000
    const conformal = new Conformal(1)
    conformal.calibrate(Float32Array.from({ length: origins }, draw), origins, 2, 1, 1, 0)
    const expected = [-1.96, -1.2816, 0, 1.2816, 1.96, 2.3263]
    quantiles(conformal, 1).forEach((value, level) => {
      expect(Math.abs(value / 2 - (expected[level] as number))).toBeLessThan(0.2)
    })
  })

  it('corrects itself: errors that triple end up covered again', () => {
    const draw = normal(3)
    const conformal = new Conformal(1)
    conformal.calibrate(Float32Array.from({ length: 500 }, draw), 500, 1, 1, 1, 0)
    for (let i = 0; i < 1500; i++) conformal.observe(1, 3 * draw())
    let inside = 0
    const scored = 2000
    for (let i = 0; i < scored; i++) {
      const value = 3 * draw()
      const [low, , , , high] = quantiles(conformal, 1) as [number, number, number, number, number]
      if (value >= low && value <= high) inside++
      conformal.observe(1, value)
    }
    expect(inside / scored).toBeGreaterThan(0.93)
    expect(inside / scored).toBeLessThan(0.97)
    expect(Math.abs(conformal.coverage - inside / scored)).toBeLessThan(0.04)
  })

  it('names the levels of the forecast record', () => {
    expect(QUANTILE_LEVELS).toEqual([0.025, 0.1, 0.5, 0.9, 0.975, 0.99])
  })
})
