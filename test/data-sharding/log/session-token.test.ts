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
      const token = encodeToken(wanted)
      expect(token).toBe(encodeURIComponent(token))
      expect(decodeTokens(token)).toEqual(wanted)
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
    .map(encodeToken)
    .join(', ')
  expect(decodeTokens(tokens)).toEqual(
    new Map([
      [0, 5],
      [1, 2],
      [2, 9],
    ]),
  )
})

test.each(['', 'x', 'AQ AQ', encodeToken(new Map([[1, 300]])).slice(0, -2), 'AQD_____________'])(
  '%j is refused',
  (text) => {
    let thrown: unknown
    try {
      decodeTokens(text)
    } catch (error) {
      thrown = error
    }
    expect(isError(thrown, 'REQUEST_INVALID')).toBe(true)
  },
)
