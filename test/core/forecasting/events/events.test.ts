import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { mulberry32 } from '#core/ports'
import {
  addEffects,
  type EventHistory,
  eventForce,
  eventsKnownAt,
  type KnownEvent,
  learnEffects,
  LEVELS,
  noEffects,
  removeEffects,
} from '#core/forecasting'

const HOUR = 3_600_000
const START = Date.UTC(2026, 0, 5)
const SEASON = 24

const eventOf = (over: Partial<KnownEvent>): KnownEvent => ({
  id: 'e',
  revision: 0,
  kind: 'match',
  scope: '*',
  summary: 'A v B',
  issuedAtMs: 0,
  validFromMs: START,
  validToMs: START + 2 * HOUR,
  severity: 0,
  cancelled: false,
  ...over,
})

/** Twelve matches of two hours at changing times of day. */
const MATCHES = Array.from({ length: 12 }, (_, i) => {
  const from = START + (5 + 2 * i) * 24 * HOUR + ((7 * i) % 12) * HOUR
  return eventOf({ id: `m${i}`, validFromMs: from, validToMs: from + 2 * HOUR })
})
const POINTS = 30 * 24

/** A daily wave with noise; `force` is applied at each hour that a match is on. */
function history(force: (value: number) => number, points = POINTS): EventHistory {
  const random = mulberry32(7)
  const values = Float64Array.from({ length: points }, (_, t) => {
    const value =
      100 * (1 + 0.5 * Math.sin((2 * Math.PI * t) / SEASON)) * (1 + 0.06 * (random.uniform() - 0.5))
    const middle = START + (t + 0.5) * HOUR
    const isOn = MATCHES.some((m) => middle > m.validFromMs && middle < m.validToMs)
    return isOn ? force(value) : value
  })
  return { values, lastMs: START + points * HOUR, stepMs: HOUR, season: SEASON, entity: 'web' }
}

describe('effects', () => {
  test('that multiply are found with their size, and removing them gives the series without', () => {
    const tripled = history((v) => 3 * v)
    const effects = learnEffects(tripled, MATCHES)
    expect(effects.scale).toBe('log')
    expect(effects.effects).toHaveLength(1)
    expect(effects.effects[0]).toMatchObject({ kind: 'match', occurrences: 12, agreeing: 12 })
    const plain = history((v) => v).values
    const cleaned = removeEffects(effects, MATCHES, tripled.values, tripled.lastMs)
    cleaned.forEach((value, t) => expect(Math.abs(value / (plain[t] as number) - 1)).toBeLessThan(0.25))
  })

  test('that add are found as additions', () => {
    const effects = learnEffects(
      history((v) => v + 400),
      MATCHES,
    )
    expect(effects.scale).toBe('linear')
    const at = MATCHES[11]!.validFromMs + HOUR
    const { centre } = eventForce(effects, MATCHES, at)
    expect(centre).toBeGreaterThan(330)
    expect(centre).toBeLessThan(430)
  })

  test('that are not there are not found', () => {
    const given = history((v) => v)
    const effects = learnEffects(given, MATCHES)
    for (const match of MATCHES)
      expect(Math.abs(eventForce(effects, MATCHES, match.validFromMs + HOUR).centre)).toBeLessThan(0.03)
  })

  test('move and widen the forecast of a future occurrence, and leave other hours alone', () => {
    const given = history((v) => 3 * v)
    const effects = learnEffects(given, MATCHES)
    const next = eventOf({
      id: 'next',
      validFromMs: given.lastMs + 5 * HOUR,
      validToMs: given.lastMs + 7 * HOUR,
    })
    const quantiles = Float64Array.from({ length: 12 * LEVELS }, (_, i) => 100 + (i % LEVELS) * 10)
    const before = quantiles.slice()
    addEffects(effects, [next], quantiles, given.lastMs, 12, 0)
    const median = (q: Float64Array, h: number) => q[(h - 1) * LEVELS + 2] as number
    expect(median(quantiles, 6) / median(before, 6)).toBeGreaterThan(2.4)
    expect(median(quantiles, 6) / median(before, 6)).toBeLessThan(3.5)
    expect(quantiles.subarray(0, LEVELS)).toEqual(before.subarray(0, LEVELS))
    expect(quantiles.subarray(11 * LEVELS)).toEqual(before.subarray(11 * LEVELS))
    for (let h = 1; h <= 12; h++) {
      const own = Array.from(quantiles.subarray((h - 1) * LEVELS, h * LEVELS))
      expect(own).toEqual(own.toSorted((a, b) => a - b))
    }
  })

  test('of a kind that was never seen widen by severity and move nothing', () => {
    const effects = noEffects('web', HOUR, 'log')
    const storm = eventOf({ kind: 'weather', severity: 1 })
    const quantiles = Float64Array.from([90, 95, 100, 105, 110, 115])
    addEffects(effects, [storm], quantiles, START, 1, 0)
    expect(quantiles[2]).toBe(100)
    expect(quantiles[0]).toBeLessThan(35)
    expect(quantiles[4]).toBeGreaterThan(300)
  })

  test('of events for other entities are ignored', () => {
    const effects = learnEffects(
      history((v) => 3 * v),
      MATCHES.map((m) => ({ ...m, scope: 'api' })),
    )
    expect(effects.effects).toEqual([])
  })
})

describe('what is known at a time', () => {
  test('is the newest revision issued by then; cancelled ones are gone', () => {
    const first = eventOf({ issuedAtMs: 10 })
    const moved = eventOf({ revision: 1, issuedAtMs: 20, validToMs: START + HOUR })
    const off = eventOf({ revision: 2, issuedAtMs: 30, cancelled: true })
    const all = [off, first, moved]
    expect(eventsKnownAt(all, 9)).toEqual([])
    expect(eventsKnownAt(all, 10)).toEqual([first])
    expect(eventsKnownAt(all, 29)).toEqual([moved])
    expect(eventsKnownAt(all, 30)).toEqual([])
  })

  const anyEvent = fc.record({
    id: fc.constantFrom('m3', 'm11', 'other', 'more'),
    revision: fc.nat(3),
    kind: fc.constantFrom('match', 'campaign'),
    scope: fc.constantFrom('*', 'web', 'w*'),
    summary: fc.constant(''),
    issuedAtMs: fc.integer({ min: 1, max: 1e6 }),
    validFromMs: fc.integer({ min: -100, max: 100 }),
    validToMs: fc.integer({ min: -100, max: 200 }),
    severity: fc.double({ min: 0, max: 1, noNaN: true }),
    cancelled: fc.boolean(),
  })

  test('events issued after the origin change nothing: neither what is learnt nor what is forecast', () => {
    const given = history((v) => 3 * v, 20 * 24)
    const forecast = (events: readonly KnownEvent[]): Float64Array => {
      const known = eventsKnownAt(events, given.lastMs)
      const effects = learnEffects(given, events)
      const quantiles = Float64Array.from({ length: 24 * LEVELS }, (_, i) => 100 + (i % LEVELS) * 10)
      addEffects(effects, known, quantiles, given.lastMs, 24, 0)
      return quantiles
    }
    const before = forecast(MATCHES)
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 6 }), (later) => {
        const issued = later.map((event) => ({
          ...event,
          issuedAtMs: given.lastMs + event.issuedAtMs,
          validFromMs: given.lastMs + event.validFromMs * HOUR,
          validToMs: given.lastMs + event.validToMs * HOUR,
        }))
        expect(forecast([...issued, ...MATCHES])).toEqual(before)
      }),
      { numRuns: 15 },
    )
  })

  test('whatever the calendar and the values, quantiles stay finite and in order', () => {
    const anyValue = fc.oneof(
      fc.double({ min: 0, max: 1e6, noNaN: true }),
      fc.constantFrom(0, Number.NaN, 1e12, -5),
    )
    fc.assert(
      fc.property(
        fc.array(anyValue, { minLength: 3, maxLength: 80 }),
        fc.array(anyEvent, { maxLength: 8 }),
        (values, events) => {
          const lastMs = START + 100 * HOUR
          const shifted = events.map((event, i) => ({
            ...event,
            id: `${i}`,
            validFromMs: lastMs + event.validFromMs * HOUR,
            validToMs: lastMs + event.validToMs * HOUR,
          }))
          const effects = learnEffects({ values, lastMs, stepMs: HOUR, season: 24, entity: 'web' }, shifted)
          const quantiles = Float64Array.from({ length: 48 * LEVELS }, (_, i) => (i % LEVELS) * 10)
          addEffects(effects, shifted, quantiles, lastMs, 48, 0)
          for (let h = 0; h < 48; h++) {
            const own = Array.from(quantiles.subarray(h * LEVELS, (h + 1) * LEVELS))
            for (const q of own) expect(Number.isFinite(q)).toBe(true)
            for (let i = 1; i < LEVELS; i++) expect(own[i]).toBeGreaterThanOrEqual(own[i - 1]! - 1e-9)
          }
        },
      ),
      { numRuns: 60 },
    )
  })
})
