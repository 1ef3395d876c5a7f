import { Buffer } from 'node:buffer'
import { expect, test } from 'vitest'
import { createAccumulator } from '../../../infra/kafka/accumulator.ts'

test('says when the next record would take a batch beyond its size, and when that is not to be helped', () => {
  const accumulator = createAccumulator({ transactional: true, compression: 'none', batchBytes: 1000 })
  const large = Buffer.alloc(600)
  expect(accumulator.overflows('t', 0, null, Buffer.alloc(5000))).toBe(false)
  expect(accumulator.add('t', 0, 1, null, large)).toBe(false)
  expect(accumulator.overflows('t', 0, null, large)).toBe(true)
  expect(accumulator.overflows('t', 1, null, large)).toBe(false)
  expect(accumulator.cut()).toHaveLength(1)
  expect(accumulator.overflows('t', 0, null, large)).toBe(false)
})
