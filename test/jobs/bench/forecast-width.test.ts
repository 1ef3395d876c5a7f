import { describe, expect, it } from 'vitest'
import { type Judged, widthFactors, withWidth } from '../../../jobs/bench/forecast-width.ts'

const QUANTILES = Float64Array.of(8, 9, 10, 11, 12, 13)

/** Series whose outcomes lie up to `most` from a median of 10, with an interval of 8 to 12. */
const judged = (count: number, most: number): Judged[] =>
  Array.from({ length: count }, (_, i) => ({
    quantiles: QUANTILES,
    actual: Float64Array.of(10 + most * (2 * ((i + 0.5) / count) - 1)),
  }))

describe('widths shared by a set of series', () => {
  it('widens intervals that outcomes miss, narrows wide ones by a part, and leaves few series alone', () => {
    const wider = widthFactors(judged(400, 6), 3)[0] as number
    expect(wider).toBeGreaterThan(2.5)
    expect(wider).toBeLessThan(2.9)
    const narrower = widthFactors(judged(400, 1), 3)[0] as number
    expect(narrower).toBeGreaterThan(0.6)
    expect(narrower).toBeLessThan(0.8)
    expect(widthFactors(judged(5, 6), 3)[0]).toBe(1)
  })

  it('has a factor for a single step too', () => {
    expect(widthFactors(judged(400, 6), 1)[0]).toBeGreaterThan(2.5)
  })

  it('keeps medians and order, and nothing below the least value', () => {
    const wide = withWidth(QUANTILES, Float64Array.of(10), 0)
    expect(wide[2]).toBe(10)
    expect(wide[0]).toBe(0)
    expect([...wide]).toEqual([...wide].sort((a, b) => a - b))
  })
})
