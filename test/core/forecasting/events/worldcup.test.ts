import { readFileSync } from 'node:fs'
import { gunzipSync } from 'node:zlib'
import { expect, test } from 'vitest'
import {
  addEffects,
  eventsKnownAt,
  type KnownEvent,
  learnEffects,
  LEVELS,
  removeEffects,
  SeriesForecaster,
} from '#core/forecasting'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const FOLDER = new URL('../../../../../shared/data/b_worldcup98_requests_part1/', import.meta.url)
const linesOf = (text: string) => text.split('\n').slice(1).filter(Boolean)

/** Requests per hour of the tournament's site; `firstMs` is the start of the first hour. */
function load(): { firstMs: number; values: Float64Array; events: KnownEvent[] } {
  const text = gunzipSync(readFileSync(new URL('requests_per_minute.csv.gz', FOLDER))).toString()
  const rows = linesOf(text).map((line) => line.split(','))
  const firstMs = Math.ceil(Date.parse(rows[0]![0]!) / HOUR) * HOUR
  const values = new Float64Array(Math.floor((Date.parse(rows.at(-1)![0]!) + 60_000 - firstMs) / HOUR))
  for (const [time, requests] of rows) {
    const hour = Math.floor((Date.parse(time!) - firstMs) / HOUR)
    if (hour >= 0 && hour < values.length) values[hour]! += Number(requests)
  }
  const events = linesOf(readFileSync(new URL('scheduled_events.csv', FOLDER), 'utf8')).map((line, i) => {
    const from = Date.parse(line.split(',')[0]!)
    return {
      id: `match-${i}`,
      revision: 0,
      kind: 'match',
      scope: '*',
      summary: line,
      issuedAtMs: Date.UTC(1998, 0, 1),
      validFromMs: from,
      validToMs: from + DAY,
      severity: 0,
      cancelled: false,
    }
  })
  return { firstMs, values, events }
}

test('World Cup: a forecast that knows of the matches beats one that does not, on later matches than it learnt from', () => {
  const { firstMs, values, events } = load()
  const quantiles = new Float64Array(24 * LEVELS)
  const errors = { with: 0, without: 0 }
  let inside = 0
  let steps = 0
  // Learnt up to each origin, the first with half of the matches; scored on the day after it.
  for (let originMs = Date.UTC(1998, 5, 15); originMs + DAY <= Date.UTC(1998, 5, 20); originMs += DAY / 4) {
    const at = Math.round((originMs - firstMs) / HOUR)
    if (at + 24 > values.length) break
    const train = values.subarray(0, at)
    const known = eventsKnownAt(events, originMs)
    const effects = learnEffects(
      { values: train, lastMs: originMs, stepMs: HOUR, season: 24, entity: 'site' },
      known,
    )
    for (const mode of ['with', 'without'] as const) {
      const model = new SeriesForecaster({
        stepMs: HOUR,
        horizon: 24,
        seasons: [24],
        nonNegative: true,
        historyPoints: 1440,
      })
      model.start(mode === 'with' ? removeEffects(effects, known, train, originMs) : train, originMs)
      model.forecast(quantiles)
      if (mode === 'with') addEffects(effects, known, quantiles, originMs, 24, 0)
      for (let h = 0; h < 24; h++) {
        const actual = values[at + h] as number
        errors[mode] += Math.abs(actual - quantiles[h * LEVELS + 2]!)
        if (mode === 'without') continue
        steps++
        if (actual >= quantiles[h * LEVELS]! && actual <= quantiles[h * LEVELS + 4]!) inside++
      }
    }
  }
  expect(steps).toBeGreaterThan(300)
  expect(errors.with / errors.without).toBeLessThan(0.9)
  expect(inside / steps).toBeGreaterThan(0.88)
})
