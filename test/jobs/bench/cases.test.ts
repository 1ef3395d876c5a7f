import { expect, test } from 'vitest'
import { cases, MEASURES } from '../../../jobs/bench.ts'

test('the help of the benches says what each of them measures, and names no other', () => {
  expect(Object.keys(MEASURES).toSorted()).toEqual(cases())
})
