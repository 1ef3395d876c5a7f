import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { mulberry32 } from '#core/ports'
import { OnlineLogistic, type WeightPrior } from '#core/risk'

const prior = (start = 0): WeightPrior => ({ start, variance: 1, least: -10, most: 10 })

/** Outcomes of a known map with two terms that are nearly the same. */
function teach(map: OnlineLogistic, outcomes: number, weights: readonly number[], seed = 1): void {
  const random = mulberry32(seed)
  for (let i = 0; i < outcomes; i++) {
    const x = 4 * random.uniform() - 2
    const terms = [1, x, x + 0.01 * (random.uniform() - 0.5)]
    const odds = terms.reduce((sum, term, k) => sum + term * (weights[k] as number), 0)
    map.learn(terms, random.uniform() < 1 / (1 + Math.exp(-odds)))
  }
}

test('learns the map that makes the outcomes', () => {
  const map = new OnlineLogistic([prior(), prior(), prior()], 0.9999)
  teach(map, 20_000, [-1, 1.5, 0])
  expect(map.probability([1, 0, 0])).toBeCloseTo(1 / (1 + Math.E), 1)
  expect(map.probability([1, 1, 1])).toBeCloseTo(1 / (1 + Math.exp(-0.5)), 1)
})

test('stays sound for as long as it runs, with terms that go together and fast forgetting', () => {
  const map = new OnlineLogistic([prior(), prior(), prior()], 0.999)
  teach(map, 200_000, [-1, 1.5, 0])
  teach(map, 5000, [1, 1.5, 0], 2)
  expect(map.probability([1, 0, 0])).toBeCloseTo(1 / (1 + Math.exp(-1)), 1)
  expect(map.probability([1, -1, -1])).toBeCloseTo(1 / (1 + Math.exp(0.5)), 1)
})

test('weights stay within their bounds', () => {
  const map = new OnlineLogistic([{ start: 0, variance: 1, least: -0.5, most: 0.5 }], 1)
  for (let i = 0; i < 1000; i++) map.learn([1], true)
  expect(map.probability([1])).toBeCloseTo(1 / (1 + Math.exp(-0.5)), 12)
})

test('goes on after a restart as if there had been none', () => {
  const maps = [0, 1].map(() => new OnlineLogistic([prior(), prior(1), prior()], 0.999))
  const [straight, first] = maps as [OnlineLogistic, OnlineLogistic]
  for (const map of maps) teach(map, 300, [-1, 1, 1])
  const writer = new ByteWriter()
  first.encode(writer)
  const second = new OnlineLogistic([prior(), prior(1), prior()], 0.999)
  second.decode(new ByteReader(writer.view()))
  for (const map of [straight, second]) teach(map, 300, [1, 1, 1], 3)
  expect(second.outcomes).toBe(600)
  expect(second.probability([1, 0.3, 0.2])).toBe(straight.probability([1, 0.3, 0.2]))
})
