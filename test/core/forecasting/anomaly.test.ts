import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AnomalyDetector } from '../../../pipelines/core/forecasting/index.ts'
import { ByteReader, ByteWriter } from '../../../pipelines/core/math/index.ts'
import { isError, mulberry32 } from '../../../pipelines/core/ports/index.ts'

function seen(detector: AnomalyDetector) {
  return { score: detector.score, direction: detector.direction, feature: detector.feature }
}

/** Noise around 100 and around 10, `count` observations. */
function warmedUp(count: number, options = {}): AnomalyDetector {
  const random = mulberry32(11)
  const detector = new AnomalyDetector({ features: ['bytes', 'sources'], ...options })
  for (let i = 0; i < count; i++) detector.observe([100 + random.uniform(), 10 + random.uniform()])
  return detector
}

describe('AnomalyDetector', () => {
  it.each([
    [[130, 10.5], 'bytes', 1],
    [[100.5, 2], 'sources', -1],
    [[NaN, 40], 'sources', 1],
  ] as const)('names feature and direction of %j', (values, feature, direction) => {
    const detector = warmedUp(3000)
    detector.observe(values)
    expect(seen(detector)).toMatchObject({ feature, direction })
    expect(detector.score).toBeGreaterThan(0.998)
  })

  it('alarms rarely on noise, and never on a constant', () => {
    const random = mulberry32(4)
    const detector = new AnomalyDetector({ features: ['value'] })
    let alarms = 0
    for (let i = 0; i < 10_000; i++) {
      detector.observe([random.uniform() + random.uniform()])
      if (detector.score >= 0.998) alarms++
    }
    expect(alarms).toBeLessThan(40)
    const flat = new AnomalyDetector({ features: ['value'] })
    for (let i = 0; i < 1000; i++) {
      flat.observe([5])
      expect(flat.score).toBeLessThan(0.6)
    }
  })

  it('keeps quiet after an alarm: one incident is one alarm', () => {
    const detector = warmedUp(3000, { refractory: 10 })
    const scores: number[] = []
    for (let i = 0; i < 11; i++) {
      detector.observe([i % 2 === 0 ? 500 : 100, 10])
      scores.push(detector.score)
    }
    expect(scores.filter((score) => score >= 0.998).length).toBe(1)
    expect(scores.slice(1).every((score) => score <= 0.5)).toBe(true)
  })

  it('notices a slow change of level that no single step shows', () => {
    const random = mulberry32(8)
    const detector = new AnomalyDetector({ features: ['value'] })
    let most = 0
    for (let i = 0; i < 3000; i++) {
      const level = 100 + Math.max(0, i - 2500) * 0.05
      detector.observe([level + 4 * (random.uniform() - 0.5)])
      if (i > 2500) most = Math.max(most, detector.score)
    }
    expect(most).toBeGreaterThan(0.998)
  })

  it('is not sure before it has seen much', () => {
    const detector = warmedUp(15)
    detector.observe([1e12, 10])
    expect(detector.score).toBe(0)
    const later = warmedUp(100)
    later.observe([1e12, 10])
    expect(later.score).toBeGreaterThan(0.9)
    expect(later.score).toBeLessThan(0.998)
  })

  it('stays within 0..1 and goes on after decode as if nothing had happened', () => {
    const value = fc.oneof(fc.double(), fc.integer({ min: -5, max: 5 }))
    fc.assert(
      fc.property(
        fc.array(value, { maxLength: 150 }),
        fc.array(value, { maxLength: 50 }),
        (before, after) => {
          const detector = new AnomalyDetector({ features: ['v'], refractory: 7, alarm: 0.9 })
          for (const v of before) {
            detector.observe([v])
            expect(detector.score).toBeGreaterThanOrEqual(0)
            expect(detector.score).toBeLessThanOrEqual(1)
            expect(detector.feature).toBe(detector.score > 0 ? 'v' : '')
          }
          const writer = new ByteWriter()
          detector.encode(writer)
          const copy = new AnomalyDetector({ features: ['v'], refractory: 7, alarm: 0.9 })
          copy.decode(new ByteReader(writer.view()))
          for (const v of after) {
            detector.observe([v])
            copy.observe([v])
            expect(seen(copy)).toEqual(seen(detector))
          }
        },
      ),
    )
  })

  it('refuses options that cannot work', () => {
    let caught: unknown
    try {
      warmedUp(0, { features: [] })
    } catch (error) {
      caught = error
    }
    expect(isError(caught, 'CONFIG_INVALID')).toBe(true)
  })
})
