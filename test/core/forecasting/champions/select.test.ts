import { describe, expect, test } from 'vitest'
import type { Model } from '#schemas'
import { noEffects, recordEffects, selectChampion, type SelectionInput, seriesModel } from '#core/forecasting'
import { mulberry32 } from '#core/ports'

const HOUR = 3_600_000
const LAST = Date.UTC(2026, 5, 1)
const random = mulberry32(11)
const NOISE = Array.from({ length: 1000 }, () => random.uniform() - 0.5)

const inputOf = (
  value: (t: number) => number,
  points: number,
  over: Partial<SelectionInput> = {},
): SelectionInput => ({
  entity: 'web',
  values: Float64Array.from({ length: points }, (_, t) => value(t)),
  lastMs: LAST,
  options: { stepMs: HOUR, horizon: 12, seasons: [24], nonNegative: true },
  events: [],
  ...over,
})
const seasonal = (t: number): number => 100 + 60 * Math.sin((2 * Math.PI * t) / 24) + 5 * (NOISE[t] as number)

describe('a champion', () => {
  test('is chosen out of sample, with its evidence', () => {
    const { model, evidence, points, profile, features, spread } = selectChampion(inputOf(seasonal, 480))
    expect(model).toMatch(/24/)
    expect(evidence.scores.mase).toBeLessThan(1)
    expect(evidence.seasonalNaiveMase).toBeGreaterThan(evidence.scores.mase!)
    expect(evidence.candidates[0]).toEqual({ model, mase: evidence.scores.mase })
    expect(evidence.origins).toBeGreaterThan(10)
    expect(evidence.toMs - evidence.fromMs).toBe(95 * HOUR)
    expect(points).toBe(480)
    expect(profile).toHaveLength(24)
    for (const feature of features) expect(Number.isFinite(feature)).toBe(true)
    expect(spread).toBeGreaterThan(0)
  })

  test('that stands is only replaced by one that is better by the margin', () => {
    const free = selectChampion(inputOf(seasonal, 480))
    const bad = selectChampion(inputOf(seasonal, 480, { standing: 'naive' }))
    expect(bad).toMatchObject({ model: free.model, evidence: { previous: 'naive' } })
    expect(bad.evidence.previousMase).toBeGreaterThan(free.evidence.scores.mase!)
    const stubborn = selectChampion(inputOf(seasonal, 480, { standing: 'naive', margin: 0.99 }))
    expect(stubborn).toMatchObject({ model: 'naive', evidence: { previous: 'naive', margin: 0.99 } })
    expect(stubborn.evidence.previousMase).toBe(stubborn.evidence.scores.mase)
  })

  test('that stands is kept by a history too short for a contest', () => {
    const { model, evidence } = selectChampion(inputOf(seasonal, 30, { standing: 'ses' }))
    expect(model).toBe('ses')
    expect(evidence.scores).toMatchObject({ steps: 0, mase: null, coverage95: null })
  })

  test.each([
    ['constant', () => 5],
    ['all zero', () => 0],
    ['nothing but gaps', () => Number.NaN],
    ['spikes of 1e12', (t: number) => (t % 97 === 0 ? 1e12 : 10)],
    ['gaps', (t: number) => (t % 3 === 0 ? Number.NaN : seasonal(t))],
    ['negative', (t: number) => -seasonal(t)],
  ])('of a series that is %s has finite evidence or none', (_, value) => {
    for (const points of [3, 60, 300]) {
      const { model, evidence, features } = selectChampion(inputOf(value, points))
      expect(model).not.toBe('')
      const { mase, pinball, coverage95, msis } = evidence.scores
      for (const score of [mase, pinball, coverage95, msis, evidence.seasonalNaiveMase])
        expect(score === null || Number.isFinite(score)).toBe(true)
      for (const feature of features) expect(Number.isFinite(feature)).toBe(true)
    }
  })
})

test('what a record carries is what a live forecaster follows', () => {
  const effect = {
    kind: 'match',
    scope: '*',
    shape: { leadMs: HOUR, decayMs: 0, cuts: [1, 2, 0] as const },
    occurrences: 5,
    agreeing: 4,
    centre: Float64Array.of(0, 1, 2, 3, 0, 0, 0, 0),
    spread: new Float64Array(8),
    widen: 1.5,
  }
  const effects = { ...noEffects('web', HOUR, 'log'), effects: [effect] }
  const record = {
    entity: 'web',
    step_ms: HOUR,
    model: 'blend-24',
    version: 9,
    trained_through_ms: 4,
    points: 300,
    seasons: [24],
    effect_scale: 'log',
    effects: recordEffects(effects),
    profile: [0.5, -0.5],
    features: [1],
    spread: 0.2,
    similar_to: '',
  } as unknown as Model
  expect(seriesModel(record)).toEqual({
    model: 'blend-24',
    version: 9,
    trainedThroughMs: 4,
    points: 300,
    effects,
    profile: Float64Array.of(0.5, -0.5),
    profileMs: 24 * HOUR,
    spread: 0.2,
    features: Float64Array.of(1),
    similarTo: '',
  })
})
