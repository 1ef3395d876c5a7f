import { expect, test } from 'vitest'
import { createTruth, type Truth } from '../../../jobs/demo/truth.ts'
import { compareInput } from '../../../jobs/chaos/input-truth.ts'

function truthWith(records: number, bad = 0, unknown = 0): Truth {
  const truth = createTruth(1000)
  for (let i = 0; i < records; i++) truth.streams.add(truth.streams.keyId('a>b'), 5000 + i, 1, 100)
  truth.flows.bad = { RECORD_INVALID: bad }
  truth.flows.unknown = unknown
  return truth
}

test('equal: nothing to say', () => {
  expect(compareInput(truthWith(3, 2), truthWith(3, 2))).toEqual({ lost: 0, duplicated: 0, details: [] })
})

test('acknowledged and not in the log is lost, window by window and by kind of bad record', () => {
  expect(compareInput(truthWith(3, 2), truthWith(1, 1))).toEqual({
    lost: 3,
    duplicated: 0,
    details: [
      'input log: 1 of 3 records of a>b at 1970-01-01T00:00:05.000Z',
      'input log: 1 of 2 records of flows RECORD_INVALID',
    ],
  })
})

test('more in the log than was sent is duplicated, unless some of it has no answer', () => {
  expect(compareInput(truthWith(3), truthWith(4))).toMatchObject({ lost: 0, duplicated: 1 })
  expect(compareInput(truthWith(3, 0, 1), truthWith(4))).toMatchObject({ lost: 0, duplicated: 0 })
})
