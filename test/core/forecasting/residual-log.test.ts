import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { originsAt, ResidualLog } from '../../../pipelines/core/forecasting/index.ts'

const GRID = { everyMs: 1000, rows: 8 }

describe('originsAt', () => {
  it('depends on time alone, lies on the grid, and only names origins whose errors are known', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 1e9 }),
        fc.nat(6000),
        fc.integer({ min: 1, max: 20 }),
        (late, horizon, count) => {
          const now = 1e12 + late
          const origins = [...originsAt(now, horizon, count, GRID)]
          expect(new Set(origins).size).toBe(origins.length)
          for (const origin of origins) {
            expect(origin % GRID.everyMs).toBe(0)
            expect(origin + horizon).toBeLessThanOrEqual(now)
            expect(origin).toBeGreaterThan(now - (GRID.rows + 1) * GRID.everyMs)
          }
          expect(origins).toEqual([...originsAt(now, horizon, count, GRID)])
        },
      ),
    )
  })

  it('gives as many as are held', () => {
    expect([...originsAt(20_000, 2000, 3, GRID)]).toEqual([18_000, 16_000, 14_000])
    expect([...originsAt(20_000, 2000, 100, GRID)]).toEqual([18, 17, 16, 15, 14, 13].map((s) => s * 1000))
  })
})

describe('ResidualLog', () => {
  it('keeps every error that originsAt may ask for', () => {
    const log = new ResidualLog(GRID, 2)
    for (let now = 1000; now <= 50_000; now += 1000) {
      for (const h of [1, 2]) log.recordError(now - h * 1000, h, now + h)
      for (const origin of originsAt(now, 2000, 8, GRID)) {
        if (origin < 0) continue
        expect(log.errorOf(origin, 1)).toBe(origin + 1001)
        expect(log.errorOf(origin, 2)).toBe(origin + 2002)
      }
    }
  })

  it('draws each origin from its own error, borrows from the nearest, and falls back when empty', () => {
    const log = new ResidualLog(GRID, 1)
    log.recordError(3000, 1, 30)
    log.recordError(5000, 1, 50)
    const out = new Float64Array(3)
    const wanted = Float64Array.of(5000, 4000, 3000)
    expect(log.draws(wanted, 1, out, () => 0)).toBe(2)
    expect([...out]).toEqual([50, 50, 30])
    log.clear()
    expect(log.draws(wanted, 1, out, (k) => k)).toBe(0)
    expect([...out]).toEqual([0, 1, 2])
  })

  it('ignores origins off the grid, older than the ring, and errors that are not finite', () => {
    const log = new ResidualLog(GRID, 1)
    log.recordError(9000, 1, 9)
    log.recordError(1000, 1, 1)
    log.recordError(9500, 1, 5)
    log.recordError(10_000, 1, Infinity)
    log.recordError(10_000, 2, 1)
    expect([9000, 1000, 9500, 10_000].map((origin) => log.errorOf(origin, 1))).toEqual([9, NaN, NaN, NaN])
  })
})
