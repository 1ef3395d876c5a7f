import { expect, test } from 'vitest'
import { ByteReader, ByteWriter } from '#core/math'
import { Regrets } from '../../../pipelines/data-sharding/placement/index.ts'

const RULE = { memory: 100, least: 1, deviations: 2, most: 0.1 }

test('what is better by less than is acted on is never followed, what is better by more is', () => {
  const regrets = new Regrets(2, RULE)
  for (let t = 0; t < 1000; t++) {
    regrets.add(0, 0.05, 0.041)
    regrets.add(1, 0.05, 0.03)
  }
  expect(regrets.beyond(0, 0)).toBeLessThan(0)
  expect(regrets.beyond(1, 0)).toBeGreaterThan(0)
  expect(regrets.beyond(1, 2)).toBeLessThan(0)
})

test('one accident decides nothing, and neither does chance', () => {
  const regrets = new Regrets(2, RULE)
  for (let t = 0; t < 5; t++) regrets.add(0, 20, 0)
  for (let t = 0; t < 400; t++) regrets.add(1, t % 2 === 0 ? 0.2 : 0.03, 0.1)
  expect(regrets.beyond(0, 0)).toBeLessThan(0)
  expect(regrets.beyond(1, 0)).toBeLessThan(0)
})

test('goes on from a snapshot, and forgets when told', () => {
  const one = new Regrets(2, RULE)
  for (let t = 0; t < 50; t++) one.add(1, 0.09, 0.01)
  const out = new ByteWriter()
  one.encode(out)
  const other = new Regrets(2, RULE)
  other.decode(new ByteReader(out.take()))
  expect(other.beyond(1, 0)).toBe(one.beyond(1, 0))
  expect(one.beyond(1, 0)).toBeGreaterThan(0)
  one.reset()
  expect(one.beyond(1, 0)).toBe(-1)
})
