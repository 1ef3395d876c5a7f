import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type LabelledSeries, loadLabelled, nabScore } from '../../../jobs/bench/anomaly-nab.ts'
import { contextKnn, tailProbability, windowedGaussian } from '../../../jobs/bench/anomaly-peers.ts'

/** Numenta's published results of its windowed Gaussian at threshold 1, of the series that are shipped (NAB, MIT). */
const published = readFileSync(new URL('../../fixtures/nab/windowed-gaussian.csv', import.meta.url), 'utf8')
  .trim()
  .split('\n')
  .slice(1)
  .map((line) => line.split(','))

test('scorer and windowed Gaussian reproduce the published result of every series', () => {
  const series = loadLabelled('../shared/data')
  const scores = series.map(({ values }) => windowedGaussian(values))
  expect(series).toHaveLength(38)
  const ours = series.map((one, i) => {
    const { sum, truePoints, falsePoints } = nabScore([one], [scores[i] as Float64Array], 1)
    return [one.key, sum.toFixed(6), truePoints, falsePoints]
  })
  const theirs = published.map(([key, sum, tp, fp]) => [key, Number(sum).toFixed(6), Number(tp), Number(fp)])
  expect(new Map(ours.map((row) => [row[0], row]))).toEqual(new Map(theirs.map((row) => [row[0], row])))
})

test('context kNN reproduces the published result of a series', () => {
  const series = loadLabelled('../shared/data').find(({ key }) => key === 'realTweets/Twitter_volume_CRM')
  const one = series as LabelledSeries
  expect(nabScore([one], [contextKnn(one.values)], 1)).toMatchObject({
    sum: expect.closeTo(1.3648187341532132, 9),
    truePoints: 4,
    falsePoints: 13,
  })
})

const flat = (windows: LabelledSeries['windows']): LabelledSeries => ({
  key: 'x',
  values: new Float64Array(100),
  windows,
})
const alarmsAt = (...at: number[]): Float64Array =>
  Float64Array.from({ length: 100 }, (_, t) => Number(at.includes(t)))

test('the score is 0 without alarms, and 100 with one at the beginning of each window', () => {
  const series = [
    flat([
      { first: 20, last: 29 },
      { first: 60, last: 79 },
    ]),
  ]
  expect(nabScore(series, [alarmsAt()], 1).score).toBe(0)
  expect(nabScore(series, [alarmsAt(20, 60)], 1)).toMatchObject({ windowsFound: 2, falsePoints: 0 })
  expect(nabScore(series, [alarmsAt(20, 60)], 1).score).toBeCloseTo(100, 9)
  expect(nabScore(series, [alarmsAt(25, 75)], 1).score).toBeLessThan(100)
})

test('alarms outside cost, those in the probation count for nothing', () => {
  const series = [flat([{ first: 50, last: 59 }])]
  const found = nabScore(series, [alarmsAt(50)], 1).sum
  expect(nabScore(series, [alarmsAt(3, 50)], 1).sum).toBe(found)
  expect(nabScore(series, [alarmsAt(40, 50)], 1).sum).toBeCloseTo(found - 0.11, 9)
  expect(nabScore(series, [alarmsAt(50, 99)], 1).sum).toBeCloseTo(found - 0.11, 9)
})

test('tail of the normal distribution', () => {
  expect(tailProbability(0)).toBeCloseTo(0.5, 12)
  expect(tailProbability(1.959963984540054)).toBeCloseTo(0.025, 12)
  expect(tailProbability(7) / 1.279812543885835e-12).toBeCloseTo(1, 9)
})
