import { describe, expect, test } from 'vitest'
import { compileCell, RowBytes } from '#core/warehouse'

const bytesOf = (type: string, ...values: unknown[]): number[] => {
  const out = new RowBytes(4)
  const write = compileCell(type)
  for (const value of values) write(out, value)
  return [...out.bytes()]
}

describe('bytes by type', () => {
  test.each<[string, unknown, number[]]>([
    ['String', 'ab', [2, 97, 98]],
    ['String', 'ü', [2, 195, 188]],
    ['String', new Uint8Array([0, 255]), [2, 0, 255]],
    ['LowCardinality(String)', '', [0]],
    ['Bool', true, [1]],
    ['Int8', -1, [255]],
    ['UInt16', 258, [2, 1]],
    ['Int32', -2, [254, 255, 255, 255]],
    ['Int64', -1, [255, 255, 255, 255, 255, 255, 255, 255]],
    ['Int64', 2 ** 32 + 1, [1, 0, 0, 0, 1, 0, 0, 0]],
    ['UInt64', 2n ** 64n - 1n, [255, 255, 255, 255, 255, 255, 255, 255]],
    ['Float32', 1, [0, 0, 128, 63]],
    ['DateTime', 1999, [1, 0, 0, 0]],
    ['DateTime64(3)', 256, [0, 1, 0, 0, 0, 0, 0, 0]],
    ['DateTime64(0)', 1999, [1, 0, 0, 0, 0, 0, 0, 0]],
    ['DateTime64(6)', 1, [232, 3, 0, 0, 0, 0, 0, 0]],
    ['DateTime64(3)', new Date(1), [1, 0, 0, 0, 0, 0, 0, 0]],
    ['Nullable(UInt8)', null, [1]],
    ['Nullable(UInt8)', 7, [0, 7]],
    ['Array(UInt8)', [1, 2], [2, 1, 2]],
    ['Array(Float32)', new Float32Array([1]), [1, 0, 0, 128, 63]],
    ['Map(String, UInt8)', { a: 1 }, [1, 1, 97, 1]],
    ['Map(UInt8, String)', new Map([[5, 'x']]), [1, 5, 1, 120]],
    ['Tuple(a UInt8, `b c` String)', { 'b c': 'x', a: 1 }, [1, 1, 120]],
    ['Tuple(UInt8, UInt8)', [1, 2], [1, 2]],
    ['Array(Tuple(n String, v Nullable(UInt8)))', [{ n: 'a', v: null }], [1, 1, 97, 1]],
    ['Nested(n UInt8, m Map(String, UInt8))', [{ n: 1, m: {} }], [1, 1, 0]],
  ])('%s of %s', (type, value, expected) => expect(bytesOf(type, value)).toEqual(expected))

  test('a long text has a length of several bytes, and grows the buffer', () => {
    const written = bytesOf('String', 'x'.repeat(300))
    expect(written.slice(0, 3)).toEqual([172, 2, 120])
    expect(written).toHaveLength(302)
  })

  test('null and undefined are the default where NULL is not allowed', () => {
    const types = [
      'String',
      'Bool',
      'Int32',
      'UInt64',
      'Float64',
      'DateTime64(3)',
      'Array(String)',
      'Map(String, Int8)',
    ]
    for (const type of types) {
      expect([type, bytesOf(type, null)]).toEqual([type, bytesOf(type, undefined)])
      expect([type, ...bytesOf(type, null).filter((byte) => byte !== 0)]).toEqual([type])
    }
    expect(bytesOf('Tuple(UInt8, String)', null)).toEqual([0, 0])
  })

  test('times outside of DateTime64 are moved to its ends', () => {
    expect(bytesOf('DateTime64(3)', 8.64e15)).toEqual(
      bytesOf('DateTime64(3)', Date.UTC(2299, 11, 31, 23, 59, 59, 999)),
    )
    expect(bytesOf('DateTime64(3)', -8.64e15)).toEqual(bytesOf('DateTime64(3)', Date.UTC(1900, 0, 1)))
  })
})

describe('refusals', () => {
  test.each<[string, unknown]>([
    ['String', 1],
    ['Bool', 1],
    ['UInt8', 256],
    ['UInt8', -1],
    ['Int8', 1.5],
    ['Int64', 2 ** 53],
    ['UInt64', -1],
    ['UInt64', 2n ** 64n],
    ['Float64', '1'],
    ['DateTime64(3)', Number.NaN],
    ['Array(UInt8)', 'ab'],
    ['Map(String, UInt8)', 1],
    ['Tuple(UInt8)', 1],
  ])('%s does not take %s', (type, value) => {
    expect(() => bytesOf(type, value)).toThrow(expect.objectContaining({ code: 'RECORD_INVALID' }))
  })

  test.each(['Strin', 'Array()', 'Map(String)', 'DateTime64(12)', 'Decimal(10, 2)', ')'])(
    '%s is unknown',
    (type) => {
      expect(() => compileCell(type)).toThrow(expect.objectContaining({ code: 'CONFIG_INVALID' }))
    },
  )
})
