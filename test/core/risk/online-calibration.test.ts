import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { mulberry32 } from '#core/ports'
import { brierScore, calibrationError, OnlineCalibration } from '#core/risk'

const outcomes = fc.array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean()), {
  maxLength: 300,
})

test('begins as the identity, apart from the certain', () => {
  const calibration = new OnlineCalibration()
  for (const raw of [0.001, 0.2, 0.5, 0.9]) expect(calibration.calibrate(raw)).toBeCloseTo(raw, 12)
  expect(calibration.calibrate(0)).toBeLessThan(0.001)
  expect(calibration.calibrate(Number.NaN)).toBeNaN()
})

test('is a probability that never falls as the raw one rises, whatever it has learnt', () => {
  fc.assert(
    fc.property(outcomes, fc.double({ min: 0.5, max: 1, noNaN: true }), (learnt, forgetting) => {
      const calibration = new OnlineCalibration({ forgetting })
      for (const [raw, crossed] of learnt) calibration.learn(raw, crossed)
      let before = 0
      for (let raw = 0; raw <= 1; raw += 0.05) {
        const said = calibration.calibrate(raw)
        expect(said).toBeGreaterThanOrEqual(before)
        expect(said).toBeLessThanOrEqual(1)
        before = said
      }
    }),
  )
})

/** Raw probabilities that say three times the odds of what is true from `from` on, and the truth before. */
function drifting(count: number, from: number) {
  const random = mulberry32(5)
  return Array.from({ length: count }, (_, i) => {
    const truth = random.uniform() ** 2 * 0.6
    const odds = (truth / (1 - truth)) * (i < from ? 1 : 3)
    return { raw: odds / (1 + odds), crossed: random.uniform() < truth }
  })
}

test('follows a forecast that begins to say too much', () => {
  const calibration = new OnlineCalibration({ forgetting: 0.999 })
  const said: number[] = []
  const raw: number[] = []
  const crossed: number[] = []
  for (const [i, one] of drifting(12_000, 6000).entries()) {
    if (i >= 8000) {
      said.push(calibration.calibrate(one.raw))
      raw.push(one.raw)
      crossed.push(Number(one.crossed))
    }
    calibration.learn(one.raw, one.crossed)
  }
  expect(calibrationError(raw, crossed)).toBeGreaterThan(0.1)
  expect(calibrationError(said, crossed)).toBeLessThan(0.03)
  expect(brierScore(said, crossed)).toBeLessThan(brierScore(raw, crossed))
})

test('stays sound through a month in which nothing crosses, and learns again after', () => {
  const calibration = new OnlineCalibration()
  for (let i = 0; i < 50_000; i++) calibration.learn(0.02, false)
  expect(calibration.calibrate(0.02)).toBeLessThan(0.002)
  for (let i = 0; i < 2000; i++) calibration.learn(0.3, i % 2 === 0)
  expect(calibration.calibrate(0.3)).toBeCloseTo(0.5, 1)
})

test('goes on after a restart as if there had been none', () => {
  const all = drifting(400, 100)
  const straight = new OnlineCalibration()
  const first = new OnlineCalibration()
  for (const { raw, crossed } of all) straight.learn(raw, crossed)
  for (const { raw, crossed } of all.slice(0, 200)) first.learn(raw, crossed)
  const writer = new ByteWriter()
  first.encode(writer)
  const second = new OnlineCalibration()
  second.decode(new ByteReader(writer.view()))
  for (const { raw, crossed } of all.slice(200)) second.learn(raw, crossed)
  expect(second.outcomes).toBe(400)
  expect(second.calibrate(0.37)).toBe(straight.calibrate(0.37))
})
