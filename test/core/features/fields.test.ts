import { describe, expect, test } from 'vitest'
import {
  checkSettings,
  DEFAULT_WINDOW_SETTINGS,
  refuseEmpty,
  refuseRatios,
  refuseSizes,
  refusing,
} from '#core/features'
import { type Row, slotsOf } from '#core/runtime'

const F = slotsOf(['size', 'share', 'name'])

/** A row of a size, a share and a name. */
function rowOf(size: number, share: number, name: string): Row {
  const buffer = Buffer.from(`..${name}`)
  return {
    buffer,
    numbers: Float64Array.of(size, share, 0),
    starts: Int32Array.of(0, 0, 2),
    ends: Int32Array.of(0, 0, buffer.length),
  }
}

describe('a field that is not valid is named with its value', () => {
  test.each([
    [-1, 'size = -1: must be a finite number of 0 or more'],
    [Number.NaN, 'size = NaN: must be a finite number of 0 or more'],
    [Number.POSITIVE_INFINITY, 'size = Infinity: must be a finite number of 0 or more'],
  ])('size %d', (size, invalid) => {
    expect(refuseSizes(rowOf(size, 0, 'a'), F, ['size', 'share'])).toEqual({ invalid })
  })

  test.each([
    [-0.1, 'share = -0.1: must lie in 0..1'],
    [1.1, 'share = 1.1: must lie in 0..1'],
    [Number.NaN, 'share = NaN: must lie in 0..1'],
  ])('share %d', (share, invalid) => {
    expect(refuseRatios(rowOf(0, share, 'a'), F, ['share'])).toEqual({ invalid })
  })

  test('an empty name', () => {
    expect(refuseEmpty(rowOf(0, 0, ''), F, 'name', 'link')).toEqual({
      invalid: "name = '': must name the link",
    })
  })

  test('what is valid is not refused, at its bounds neither', () => {
    const row = rowOf(0, 1, 'a')
    expect(refuseSizes(row, F, ['size'])).toBeUndefined()
    expect(refuseRatios(row, F, ['share'])).toBeUndefined()
    expect(refuseEmpty(row, F, 'name', 'link')).toBeUndefined()
  })
})

test('settings are refused under the name of the subsystem', () => {
  const check = (over: object) => () =>
    checkSettings({ ...DEFAULT_WINDOW_SETTINGS, more: 1, ...over }, ['more'], refusing('sub'))
  expect(check({})).not.toThrow()
  expect(check({ windowMs: 0 })).toThrow('sub.windowMs = 0')
  expect(check({ more: Number.NaN })).toThrow('sub.more = null')
  expect(check({ graceMs: -1 })).toThrow('sub.graceMs = -1')
})
