import { describe, expect, it } from 'vitest'
import { drawOrigins, fitArRidge, jointScenarios } from '#core/forecasting'
import { mulberry32 } from '#core/ports'

/** Two series that share a noise: exp of an autoregression of order 1, the second at ten times the level. */
function rows(count: number): Float64Array[] {
  const random = mulberry32(11)
  const out: Float64Array[] = []
  let state = 0
  for (let i = 0; i < count; i++) {
    state = 0.9 * state + (random.uniform() - 0.5)
    out.push(Float64Array.of(Math.exp(state), 10 * Math.exp(state)))
  }
  return out
}

describe('ridge autoregression', () => {
  const data = rows(600)
  const model = fitArRidge(data, 400, { lag: 1, daily: 0 })

  it('forecasts better than the training mean, out of sample', () => {
    let error = 0
    let spread = 0
    for (let i = 400; i < 600; i++) {
      error += (model.logs[i]![0]! - model.predicted[i]![0]!) ** 2
      spread += model.logs[i]![0]! ** 2
    }
    expect(error / spread).toBeLessThan(0.5)
  })

  it('row i rests on rows up to i - lag', () => {
    for (const lag of [1, 2]) {
      const before = fitArRidge(data, 400, { lag, daily: 0 })
      const changed = data.map((row, i) => (i >= 500 ? row.map((v) => v * 5) : row))
      const after = fitArRidge(changed, 400, { lag, daily: 0 })
      const first = before.predicted.findIndex((row, i) => row[0] !== after.predicted[i]![0])
      expect(first).toBe(500 + lag)
    }
  })

  it('quantiles rise with their level and cover as often as they say', () => {
    const covered = (tau: number) => {
      let count = 0
      for (let i = 400; i < 600; i++) if (data[i]![0]! <= model.quantile(i, tau)[0]!) count++
      return count / 200
    }
    expect(covered(0.9)).toBeGreaterThan(0.82)
    expect(covered(0.9)).toBeLessThan(0.98)
    expect(model.quantile(500, 0.9)[0]!).toBeGreaterThan(model.quantile(500, 0.5)[0]!)
  })

  it('scenarios are joint: series that moved together stay together', () => {
    const origins = drawOrigins({ from: 100, to: 400 }, 50, mulberry32(1))
    expect(origins.every((o) => o >= 100 && o < 400)).toBe(true)
    for (const [a, b] of jointScenarios(model, 500, origins).map((s) => [s[0]!, s[1]!] as const))
      expect(b / a).toBeCloseTo(10, 6)
  })

  it('refuses a history that is too short', () => {
    expect(() => fitArRidge(data, 300, { lag: 1, daily: 288 })).toThrow(
      expect.objectContaining({ code: 'CONFIG_INVALID' }),
    )
  })
})
