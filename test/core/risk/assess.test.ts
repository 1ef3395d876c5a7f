import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  assessRisk,
  type EventEvidence,
  eventsInForce,
  inPercent,
  inTime,
  inWords,
  type RiskInput,
  scopeMatches,
} from '../../../pipelines/core/risk/index.ts'

const NOW = 1_000_000_000
const STEP = 300_000

const MATCH: EventEvidence = {
  kind: 'match',
  summary: 'final, kick-off 20:00',
  scope: 'ATLAng>*',
  issuedAtMs: NOW - 1,
  validFromMs: NOW + 2 * STEP,
  validToMs: NOW + 9 * STEP,
  severity: 0.8,
  cancelled: false,
}

/** Two steps; the second reaches for the limit 100. */
const INPUT: RiskInput = {
  entity: 'ATLAng>CHINng',
  issuedAtMs: NOW,
  stepMs: STEP,
  steps: 2,
  quantiles: [40, 45, 50, 60, 70, 75, 50, 60, 80, 95, 110, 120],
  limit: 100,
  side: 'above',
  last: 48,
  unit: 'B/s',
}

describe('assessRisk', () => {
  it('says where, how likely and why, most important first', () => {
    const risk = assessRisk(INPUT)
    expect(risk).toMatchObject({ worstStep: 2, q10: 60, q50: 80, q90: 95 })
    expect(risk.probability).toBeGreaterThan(0.025)
    expect(risk.probability).toBeLessThan(0.1)
    expect(risk.probability).toBe(risk.rawProbability)
    expect(risk.drivers).toEqual([
      'forecast to rise from 48 B/s to 80 B/s in 10 min (median)',
      'wide forecast: q99 in 10 min is 120 B/s, the median 80 B/s',
    ])
  })

  it('adds what anomalies and events say, and only what points to the bad side, is known and is near', () => {
    const base = assessRisk(INPUT).probability
    const anomaly = { score: 0.999, direction: 1, feature: 'bytes_per_second' }
    const both = assessRisk({ ...INPUT, anomaly, events: [MATCH] })
    expect(both.probability).toBeGreaterThan(2 * base)
    expect(both.forecastProbability).toBe(base)
    expect(both.drivers).toContain('bytes_per_second is unusually far above its past (score 0.999)')
    expect(both.drivers).toContain('match in 10 min: final, kick-off 20:00 (severity 0.8)')
    const silent = [
      { ...INPUT, anomaly: { ...anomaly, direction: -1 } },
      { ...INPUT, events: [{ ...MATCH, cancelled: true }] },
      { ...INPUT, events: [{ ...MATCH, issuedAtMs: NOW + 1 }] },
      { ...INPUT, events: [{ ...MATCH, validFromMs: NOW + 3 * STEP }] },
      { ...INPUT, events: [{ ...MATCH, scope: 'CHINng>*' }] },
    ]
    for (const input of silent) expect(assessRisk(input).probability).toBe(base)
  })

  it('is a probability, with at least one driver, and never lower for a nearer limit or more evidence', () => {
    const number = fc.double({ min: 0, max: 1e9, noNaN: true })
    const step = fc
      .array(number, { minLength: 6, maxLength: 6 })
      .map((values) => values.sort((a, b) => a - b))
    fc.assert(
      fc.property(
        fc.array(step, { minLength: 1, maxLength: 4 }),
        number,
        number,
        number,
        fc.boolean(),
        (q, a, b, last, up) => {
          const input: RiskInput = {
            ...INPUT,
            steps: q.length,
            quantiles: q.flat(),
            limit: Math.max(a, b),
            last,
            side: up ? 'above' : 'below',
          }
          const far = assessRisk(up ? input : { ...input, limit: Math.min(a, b) })
          const near = assessRisk(up ? { ...input, limit: Math.min(a, b) } : input)
          expect(far.probability).toBeGreaterThanOrEqual(0)
          expect(near.probability).toBeLessThanOrEqual(1)
          expect(near.probability).toBeGreaterThanOrEqual(far.probability - 1e-12)
          expect(far.drivers.length).toBeGreaterThan(0)
          const urged = assessRisk({ ...input, events: [MATCH] })
          expect(urged.probability).toBeGreaterThanOrEqual(assessRisk(input).probability)
        },
      ),
    )
  })

  it('says calm with numbers when nothing is near, and over the limit when it is', () => {
    expect(assessRisk({ ...INPUT, limit: 1e6 }).drivers).toEqual([
      'calm: q99 within 10 min is 120 B/s, 0.012 % of the limit 1 MB/s',
    ])
    const over = assessRisk({ ...INPUT, last: 130, limit: 60 })
    expect(over.probability).toBeGreaterThan(0.85)
    expect(over.drivers[0]).toBe('now at 130 B/s, 217 % of the limit 60 B/s')
  })

  it('admits that it knows nothing', () => {
    const risk = assessRisk({ ...INPUT, quantiles: new Float64Array(12).fill(NaN) })
    expect(risk.probability).toBe(0.5)
    expect(risk.drivers).toEqual(['nothing is known about this series yet: no forecast'])
  })

  it('calibrates last', () => {
    const calibration = { raw: [0, 1], calibrated: [0.2, 0.3] }
    const risk = assessRisk({ ...INPUT, calibration })
    expect(risk.probability).toBeCloseTo(0.2 + 0.1 * risk.rawProbability, 12)
  })
})

describe('evidence and words', () => {
  it('orders events by severity and matches scopes', () => {
    const grave = { ...MATCH, severity: 1, scope: '*' }
    expect(eventsInForce([MATCH, grave], 'ATLAng>CHINng', NOW, 4 * STEP)).toEqual([grave, MATCH])
    expect([scopeMatches('a*', 'abc'), scopeMatches('abc', 'abc'), scopeMatches('ab', 'abc')]).toEqual([
      true,
      true,
      false,
    ])
  })

  it('writes numbers for people', () => {
    expect([0, 0.02134, 45, 999.9, 1234, 5.6e9, -2e12].map((value) => inWords(value, 'B'))).toEqual([
      '0 B',
      '0.0213 B',
      '45 B',
      '1 kB',
      '1.23 kB',
      '5.6 GB',
      '-2 TB',
    ])
    expect(inWords(45)).toBe('45')
    expect([0.0123, 0.5, 2.167].map(inPercent)).toEqual(['1.2 %', '50 %', '217 %'])
    expect([45_000, 1_800_000, 9_000_000, 259_200_000].map(inTime)).toEqual([
      '45 s',
      '30 min',
      '2.5 h',
      '3 d',
    ])
  })
})
