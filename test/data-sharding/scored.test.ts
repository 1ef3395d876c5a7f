import { expect, test } from 'vitest'
import type { Forecast } from '#schemas'
import { segmentId, segmentOf } from '#data-sharding'
import { createChain, tinyConfig } from './chain.ts'

const DAY = 24
const WINDOWS = 2 * DAY + 6
const AHEAD = { segment: 2, total: 3 }

/** Queries of the one key: a day with a peak, and more each day. */
const queriesOf = (window: number): number => 5 + (window % DAY) + 2 * Math.floor(window / DAY)

test("a forecast of work carries the seasonal naive of its target and that yardstick's error, to be scored by", async () => {
  const config = tinyConfig({ dayWindows: DAY })
  const chain = await createChain(config)
  for (let w = 0; w < WINDOWS; w++) await chain.window({ k1: queriesOf(w) })
  const forecasts = chain.driver.output('forecasts.data', 'Forecast')
  const issues = [...new Set(forecasts.map((f) => f.issued_at_ms))].sort((a, b) => a - b)
  const at = (issue: number, entity: string): Forecast =>
    forecasts.find((f) => f.issued_at_ms === issues[issue] && f.entity === entity)!
  const hot = segmentId('search', segmentOf('k1', config.segments))
  // The chain's clock sends two queries at the beginning of every window but the first.
  const totalOf = (window: number): number => queriesOf(window) + (window > 0 ? 2 : 0)
  const last = issues.length - 1
  for (const [entity, ahead, valueOf] of [
    [hot, AHEAD.segment, queriesOf],
    ['search', AHEAD.total, totalOf],
  ] as const) {
    // Before a day is known, the last value; then what came a day before the target.
    expect(at(3, entity).seasonal_naive).toBe(valueOf(3))
    expect(at(last, entity).target_ms - at(last, entity).issued_at_ms).toBe(ahead * config.windowMs)
    expect(at(last, entity).seasonal_naive).toBe(valueOf(last + ahead - DAY))
    const errors = Array.from({ length: last + 1 - DAY }, (_, w) => valueOf(w + DAY) - valueOf(w))
    expect(at(last, entity).scale).toBeCloseTo(errors.reduce((a, b) => a + b, 0) / errors.length, 9)
  }
})

test('a crash changes neither yardstick nor scale', async () => {
  const run = async (crashAt: number) => {
    const chain = await createChain(tinyConfig({ dayWindows: 4 }))
    for (let w = 0; w < 12; w++) {
      await chain.window({ k1: 3 + ((w * 7) % 5) })
      if (w === crashAt) await chain.driver.crash()
    }
    return chain.driver
      .output('forecasts.data', 'Forecast')
      .filter((f) => f.entity === 'search')
      .map((f) => [f.seasonal_naive, f.scale])
  }
  expect(await run(7)).toEqual(await run(-1))
})
