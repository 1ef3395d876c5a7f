import { assert, array, boolean, constantFrom, double, oneof, property } from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type KnownEvent,
  LEVELS,
  liveBank,
  learnEffects,
  LiveForecaster,
  noEffects,
  resolveOptions,
  type SeriesModel,
  seasonalProfile,
  logged,
  startFrom,
} from '#core/forecasting'
import { mulberry32 } from '#core/ports'

const STEP = 3_600_000
const START = Date.UTC(2026, 0, 5)
const OPTIONS = { stepMs: STEP, horizon: 12, seasons: [24], nonNegative: true, historyPoints: 400 }

const champion = (over: Partial<SeriesModel> = {}): SeriesModel => ({
  model: 'seasonal-naive-24',
  version: 5,
  trainedThroughMs: 0,
  points: 200,
  effects: noEffects('web', STEP, 'log'),
  profile: new Float64Array(0),
  profileMs: 24 * STEP,
  spread: 0.1,
  features: new Float64Array(0),
  similarTo: '',
  ...over,
})

const random = mulberry32(3)
const NOISE = Array.from({ length: 2000 }, () => random.uniform() - 0.5)
const wave = (t: number): number =>
  100 * (1 + 0.6 * Math.sin((2 * Math.PI * t) / 24)) + 4 * (NOISE[t] as number)

/** A match every other day from 18:00 to 20:00. */
const MATCHES: KnownEvent[] = Array.from({ length: 20 }, (_, i) => ({
  id: `m${i}`,
  revision: 0,
  kind: 'match',
  scope: '*',
  summary: 'A v B',
  issuedAtMs: 0,
  validFromMs: START + (2 * i * 24 + 18) * STEP,
  validToMs: START + (2 * i * 24 + 20) * STEP,
  severity: 0,
  cancelled: false,
}))
const isMatch = (t: number): boolean => Math.floor((t - 1) / 24) % 2 === 0 && [18, 19].includes((t - 1) % 24)
const withMatches = (t: number): number => wave(t) * (isMatch(t) ? 4 : 1)

function fed(points: number, valueAt = wave, events: readonly KnownEvent[] = []): LiveForecaster {
  const forecaster = new LiveForecaster(resolveOptions(OPTIONS), 'web')
  for (let t = 1; t <= points; t++) forecaster.observe(START + t * STEP, valueAt(t), events)
  return forecaster
}

const medians = (forecaster: LiveForecaster, events: readonly KnownEvent[] = []): number[] => {
  const out = new Float64Array(12 * LEVELS)
  expect(forecaster.forecast(out, events)).toBe(true)
  return Array.from({ length: 12 }, (_, h) => out[h * LEVELS + 2] as number)
}

describe('adopting a champion', () => {
  test('changes the model and keeps what was learnt online', () => {
    const forecaster = fed(300)
    const { points, coverage, scale, widthFactor } = forecaster
    expect(forecaster.adopt(champion(), [])).toBe(true)
    expect(forecaster).toMatchObject({ modelName: 'seasonal-naive-24', points, coverage, scale, widthFactor })
    expect(forecaster.modelVersion).toMatch(/^seasonal-naive-24\/\d+\/5$/)
  })

  test('an older or equal version is not followed', () => {
    const forecaster = fed(300)
    forecaster.adopt(champion({ version: 5 }), [])
    expect(forecaster.adopt(champion({ version: 5, model: 'naive' }), [])).toBe(false)
    expect(forecaster.adopt(champion({ version: 4, model: 'naive' }), [])).toBe(false)
    expect(forecaster.modelName).toBe('seasonal-naive-24')
  })

  test('a champion chosen on a short history binds no longer once that has doubled', () => {
    const forecaster = fed(100)
    forecaster.adopt(champion({ model: 'mean', points: 60 }), [])
    for (let t = 101; t <= 119; t++) forecaster.observe(START + t * STEP, wave(t), [])
    expect(forecaster.modelName).toBe('mean')
    for (let t = 120; t <= 180; t++) forecaster.observe(START + t * STEP, wave(t), [])
    expect(forecaster.modelName).not.toBe('mean')
  })

  test('its effects of events clean the history that is held and foresee the next event', () => {
    const points = 24 * 20
    const values = Float64Array.from({ length: points }, (_, i) => withMatches(i + 1))
    const lastMs = START + points * STEP
    const effects = learnEffects({ values, lastMs, stepMs: STEP, season: 24, entity: 'web' }, MATCHES)
    expect(effects.effects[0]?.agreeing).toBeGreaterThan(8)
    // Live up to a match day at 14:00: four hours before the next match.
    const until = 24 * 20 + 14
    const forecaster = fed(until, withMatches, MATCHES)
    forecaster.adopt(champion({ model: 'blend-24', effects }), MATCHES)
    const expected = Array.from({ length: 12 }, (_, h) => withMatches(until + 1 + h))
    const told = medians(forecaster, MATCHES)
    expect(isMatch(until + 5)).toBe(true)
    for (let h = 0; h < 12; h++) expect(told[h]! / expected[h]!).toBeGreaterThan(0.6)
    for (let h = 0; h < 12; h++) expect(told[h]! / expected[h]!).toBeLessThan(1.6)
    // The day after, without a match, yesterday's spike is not repeated.
    const quiet = medians(fed24(forecaster, until, until + 24), MATCHES)
    expect(quiet[4]! / withMatches(until + 29)).toBeLessThan(1.6)
  })
})

function fed24(forecaster: LiveForecaster, from: number, to: number): LiveForecaster {
  for (let t = from + 1; t <= to; t++) forecaster.observe(START + t * STEP, withMatches(t), MATCHES)
  return forecaster
}

describe('a new series', () => {
  const donorOf = (entity: string, factor: number) => {
    const values = Float64Array.from({ length: 24 * 20 }, (_, i) => factor * wave(i + 1))
    const lastMs = START + values.length * STEP
    const profile = seasonalProfile(logged(values)!, lastMs, STEP, 24)
    const model = champion({
      profile: profile.values,
      model: 'blend-24',
      effects: noEffects(entity, STEP, 'log'),
    })
    return { key: `d|${entity}|m`, entity, model }
  }
  const donors = [donorOf('paris>web', 1), donorOf('berlin>web', 30), donorOf('oslo>db', 5)]

  test('starts from similar ones: it knows their season at its own level, and its interval is wide', () => {
    const start = startFrom('rome>web', STEP, donors)!
    expect(start.similarTo).toMatch(/web/)
    const points = 30
    const borrowed = new LiveForecaster(resolveOptions(OPTIONS), 'rome>web')
    borrowed.adopt(start, [])
    const alone = new LiveForecaster(resolveOptions(OPTIONS), 'rome>web')
    for (let t = 1; t <= points; t++) {
      borrowed.observe(START + t * STEP, 7 * wave(t), [])
      alone.observe(START + t * STEP, 7 * wave(t), [])
    }
    const errorOf = (told: number[]) =>
      told.reduce((sum, q, h) => sum + Math.abs(q - 7 * wave(points + 1 + h)), 0)
    expect(errorOf(medians(borrowed))).toBeLessThan(0.4 * errorOf(medians(alone)))
    const out = new Float64Array(12 * LEVELS)
    borrowed.forecast(out, [])
    for (let h = 0; h < 12; h++) expect(out[h * LEVELS + 4]!).toBeGreaterThan(7 * wave(points + 1 + h))
  })

  test('gives the borrowed season back once it has enough of its own', () => {
    const series = new LiveForecaster(resolveOptions(OPTIONS), 'rome>web')
    series.adopt(startFrom('rome>web', STEP, donors)!, [])
    for (let t = 1; t <= 24 * 5; t++) series.observe(START + t * STEP, wave(t), [])
    expect(series.model.similarTo).toBe('')
    const told = medians(series)
    told.forEach((q, h) => expect(Math.abs(q / wave(24 * 5 + 1 + h) - 1)).toBeLessThan(0.35))
  })

  test('borrows nothing from borrowers, and nothing where there are none', () => {
    expect(startFrom('x', STEP, [])).toBeUndefined()
    const [first] = donors
    expect(startFrom('x', STEP, [{ ...first!, model: { ...first!.model, similarTo: 'y' } }])).toBeUndefined()
  })
})

test('state goes on from a snapshot as if nothing had happened, with a champion, effects and borrowed profiles', () => {
  const bank = liveBank(OPTIONS)
  const other = liveBank(OPTIONS)
  const donor = { key: 'k', entity: 'b', model: champion({ profile: Float64Array.of(0.3, -0.1, -0.2, 0) }) }
  for (let t = 1; t <= 250; t++) {
    bank.observe('a', 'a', START + t * STEP, withMatches(t), MATCHES)
    if (t > 230) bank.observe('new', 'new', START + t * STEP, wave(t), MATCHES)
    if (t === 231) bank.get('new')!.adopt(startFrom('new', STEP, [donor])!, MATCHES)
  }
  const values = Float64Array.from({ length: 250 }, (_, i) => withMatches(i + 1))
  const effects = learnEffects(
    { values, lastMs: START + 250 * STEP, stepMs: STEP, season: 24, entity: 'a' },
    MATCHES,
  )
  bank.get('a')!.adopt(champion({ effects, model: 'blend-24' }), MATCHES)
  other.restore(bank.snapshot())
  for (const each of [bank, other]) {
    for (let t = 251; t <= 330; t++) {
      each.observe('a', 'a', START + t * STEP, withMatches(t), MATCHES)
      each.observe('new', 'new', START + t * STEP, wave(t), MATCHES)
    }
  }
  for (const key of ['a', 'new']) {
    expect(medians(other.get(key)!, MATCHES)).toEqual(medians(bank.get(key)!, MATCHES))
    expect(other.get(key)!.modelVersion).toBe(bank.get(key)!.modelVersion)
  }
  expect(other.snapshot()).toEqual(bank.snapshot())
  const different = liveBank({ ...OPTIONS, horizon: 13 })
  expect(() => different.restore(bank.snapshot())).toThrow(
    expect.objectContaining({ code: 'STATE_UNREADABLE' }),
  )
})

test('whatever comes in, what goes out is finite and in order', () => {
  const bad = oneof(
    double({ min: 0, max: 1000, noNaN: true }),
    constantFrom(0, -5, 1e12, Number.NaN, Number.POSITIVE_INFINITY),
  )
  const jump = constantFrom(1, 1, 1, 1, 0, -3, 5, 600)
  assert(
    property(
      array(array(bad, { minLength: 1, maxLength: 2 }), { minLength: 1, maxLength: 120 }),
      array(jump),
      boolean(),
      (values, jumps, hasModel) => {
        const forecaster = new LiveForecaster(resolveOptions(OPTIONS), 'web')
        const out = new Float64Array(12 * LEVELS)
        let t = 1
        values.flat().forEach((value, i) => {
          t = Math.max(1, t + (jumps[i % Math.max(1, jumps.length)] ?? 1))
          forecaster.observe(START + t * STEP, value, MATCHES)
          if (hasModel && i === 20) forecaster.adopt(champion(), MATCHES)
          if (!forecaster.forecast(out, MATCHES)) return
          for (let j = 0; j < out.length; j++) {
            expect(Number.isFinite(out[j])).toBe(true)
            expect(out[j]!).toBeGreaterThanOrEqual(j % LEVELS > 0 ? out[j - 1]! : 0)
          }
          const scale = forecaster.scale
          expect(scale === null || Number.isFinite(scale)).toBe(true)
        })
      },
    ),
    { numRuns: 60 },
  )
})
