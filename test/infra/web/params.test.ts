import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  DecisionParams,
  DecisionsParams,
  ListParams,
  NoParams,
  parseParams,
  SeriesParams,
} from '../../../infra/web/params.ts'

const refusal = (text: string) => ({
  code: 'REQUEST_INVALID',
  message: expect.stringContaining(text) as string,
})

describe('parameters', () => {
  test('have defaults', () => {
    expect(parseParams(SeriesParams, { stream: 'a' })).toEqual({ stream: 'a', spanMs: 1_800_000 })
    expect(parseParams(DecisionsParams, {})).toEqual({ limit: 50, renewals: false })
    expect(parseParams(ListParams, { limit: '500' })).toEqual({ limit: 500 })
  })

  test.each([
    ['a limit of 0', ListParams, { limit: '0' }, 'limit'],
    ['a limit beyond the maximum', ListParams, { limit: '501' }, 'limit'],
    ['an exponent', ListParams, { limit: '1e2' }, 'limit'],
    ['a sign', ListParams, { limit: '-1' }, 'limit'],
    ['a parameter given twice', ListParams, { limit: ['1', '2'] }, 'limit'],
    ['an unknown parameter', NoParams, { x: '1' }, 'x'],
    ['a missing stream', SeriesParams, {}, 'stream'],
    ['an empty stream', SeriesParams, { stream: '' }, 'stream'],
    ['a span above a week', SeriesParams, { stream: 'a', spanMs: '604800001' }, 'spanMs'],
    ['a span below a minute', SeriesParams, { stream: 'a', spanMs: '59999' }, 'spanMs'],
    ['a flag that is neither 0 nor 1', DecisionsParams, { renewals: 'yes' }, 'renewals'],
    ['control characters', DecisionParams, { id: 'a\u0000b' }, 'id'],
    ['a name of 201 characters', DecisionParams, { id: 'x'.repeat(201) }, 'id'],
  ])('%s is refused with its name', (_, schema, input, text) => {
    expect(() => parseParams<unknown>(schema, input)).toThrow(expect.objectContaining(refusal(text)))
  })

  test('whatever is given, a limit that passes is a whole number within its bounds', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.integer({ min: -9, max: 600 }).map(String), fc.double().map(String)),
        (limit) => {
          const isAllowed = /^[1-9]\d*$/.test(limit) && Number(limit) <= 500
          const parse = () => parseParams(ListParams, { limit })
          if (isAllowed) return parse().limit === Number(limit)
          expect(parse).toThrow(expect.objectContaining(refusal('limit')))
          return true
        },
      ),
      { examples: [['07'], ['0']] },
    )
  })
})
