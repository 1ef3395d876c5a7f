import { expect, test } from 'vitest'
import { createSessionMemory } from '../../../infra/query-router/sessions.ts'

test('the sessions that wrote last are remembered, with the furthest of what they wrote', () => {
  const memory = createSessionMemory(2)
  const long = 's'.repeat(1_000_000)
  memory.note('gone', new Map([[0, 1]]))
  memory.note(long, new Map([[0, 5]]))
  memory.note('b', new Map([[0, 3]]))
  const later = [
    [0, 2],
    [1, 7],
  ] as const
  memory.note(long, new Map(later))
  expect(memory.positions('gone')).toEqual(new Map())
  expect(memory.positions(`${long}t`)).toEqual(new Map())
  expect(memory.positions(long)).toEqual(
    new Map([
      [0, 5],
      [1, 7],
    ]),
  )
})
