import { expect, test } from 'vitest'
import { ForestallError } from '#core/ports'
import { createWarner } from '../../jobs/warnings.ts'

test('a warning that comes every second is written once a minute, with how often it came', () => {
  const lines: string[] = []
  let now = 0
  const warn = createWarner(
    (line) => lines.push(line),
    () => now,
  )
  const away = new ForestallError('NOT_FOUND', 'Topic x does not exist.')
  for (; now < 60_000; now += 1000) warn(away)
  warn(new Error('another one'))
  expect(lines).toEqual(['warning: NOT_FOUND: Topic x does not exist.', 'warning: UNEXPECTED: another one'])
  warn(away)
  expect(lines.at(-1)).toBe('warning: NOT_FOUND: Topic x does not exist. (59 times more)')
})

test('texts that are all different do not grow without bound, and are all written', () => {
  const lines: string[] = []
  const warn = createWarner(
    (line) => lines.push(line),
    () => 0,
  )
  for (let i = 0; i < 1000; i++) warn(new Error(`number ${i}`))
  expect(lines.length).toBe(1000)
})
