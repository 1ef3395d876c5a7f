import { assert, array, boolean, constantFrom, double, integer, oneof, property } from 'fast-check'
import { expect, test } from 'vitest'
import { type KnownEvent, LEVELS, LiveForecaster, resolveOptions, SeriesForecaster } from '#core/forecasting'
import { ByteWriter } from '#core/math'

const STEP = 3_600_000
const START = Date.UTC(2026, 0, 5)
const EVENT: KnownEvent = {
  id: 'e',
  revision: 0,
  kind: 'match',
  scope: '*',
  summary: 'A v B',
  issuedAtMs: 0,
  validFromMs: START + 30 * STEP,
  validToMs: START + 33 * STEP,
  severity: 0.5,
  cancelled: false,
}
const value = oneof(double({ min: 0, max: 1e4, noNaN: true }), constantFrom(0, NaN, 1e9))

function bytesOf(forecaster: LiveForecaster): string {
  const writer = new ByteWriter()
  forecaster.encode(writer)
  return Buffer.from(writer.take()).toString('base64')
}

/** Observing must not depend on who asked for what in between: only what is asked for is computed. */
test('what is observed, issued and forecast is the same however often somebody asks', () => {
  const cases = property(
    array(value, { minLength: 20, maxLength: 70 }),
    array(integer({ min: 0, max: 3 }), { minLength: 70, maxLength: 70 }),
    constantFrom(1, 5, 12, 40),
    boolean(),
    (values, asked, horizon, hasEvent) => {
      const options = resolveOptions({ stepMs: STEP, horizon, seasons: [6], nonNegative: true })
      const [quiet, busy] = [new LiveForecaster(options, 'web'), new LiveForecaster(options, 'web')]
      const out = new Float64Array(horizon * LEVELS)
      values.forEach((v, t) => {
        const events = hasEvent && t > 10 ? [EVENT] : []
        quiet.observe(START + t * STEP, v, events)
        busy.observe(START + t * STEP, v, events)
        for (let i = 0; i < (asked[t] as number); i++) {
          busy.forecast(out, i === 1 ? [] : events)
          busy.draws(Float64Array.of(START), (i % horizon) + 1, new Float64Array(1), events)
        }
      })
      expect(bytesOf(quiet)).toBe(bytesOf(busy))
      const other = new Float64Array(horizon * LEVELS)
      expect(quiet.forecast(other, [])).toBe(busy.forecast(out, []))
      expect(other).toEqual(out)
    },
  )
  assert(cases, { numRuns: 20 })
})

test('one step asked for alone is that step of the whole forecast', () => {
  const cases = property(array(value, { minLength: 1, maxLength: 60 }), (values) => {
    const forecaster = new SeriesForecaster({ stepMs: STEP, horizon: 9, seasons: [6], nonNegative: true })
    const step = new Float64Array(LEVELS)
    const steps: number[] = []
    values.forEach((v, t) => forecaster.observe(START + t * STEP, v))
    for (const h of [2, 9, 1, 5]) {
      forecaster.quantilesAt(h, step)
      steps.push(...step)
    }
    const all = new Float64Array(9 * LEVELS)
    forecaster.forecast(all)
    const picked = [2, 9, 1, 5].flatMap((h) => [...all.subarray((h - 1) * LEVELS, h * LEVELS)])
    expect(steps).toEqual(picked)
  })
  assert(cases, { numRuns: 60 })
})
