import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { isError } from '#core/ports'
import { decodeTokens, encodeToken } from '../../../pipelines/data-sharding/log/index.ts'

const positions = fc
  .dictionary(fc.nat(1000).map(String), fc.nat(Number.MAX_SAFE_INTEGER))
  .map((entries) => new Map(Object.entries(entries).map(([p, next]) => [Number(p), next] as const)))

test('a token carries its positions through headers and URLs', () => {
  fc.assert(
    fc.property(positions, (wanted) => {
      const token = encodeToken(wanted, 'log')
      expect(token).toBe(encodeURIComponent(token))
      expect(decodeTokens(token, 'log')).toEqual(wanted)
    }),
  )
})

test('of several tokens the furthest position of each partition counts', () => {
  const tokens = [
    new Map([
      [0, 5],
      [1, 2],
    ]),
    new Map([
      [0, 3],
      [2, 9],
    ]),
  ]
    .map((positions) => encodeToken(positions, 'log'))
    .join(', ')
  expect(decodeTokens(tokens, 'log')).toEqual(
    new Map([
      [0, 5],
      [1, 2],
      [2, 9],
    ]),
  )
})

const [one, of300] = [new Map([[1, 1]]), new Map([[1, 300]])]

test.each([
  '',
  'x',
  'AQ AQ',
  'AQD_____________',
  encodeToken(of300, 'log').slice(0, -2),
  // Offsets of another log would be waited for in vain, or not at all.
  encodeToken(one, 'another'),
  `${encodeToken(one, 'log')},${encodeToken(one, 'another')}`,
])('%j is refused', (text) => {
  let thrown: unknown
  try {
    decodeTokens(text, 'log')
  } catch (error) {
    thrown = error
  }
  expect(isError(thrown, 'REQUEST_INVALID')).toBe(true)
})
