import { isIPv6 } from 'node:net'
import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatAddress, parseAddress } from '../../../pipelines/core/codec/index.ts'

const hex = (text: string): string | undefined => parseAddress(text)?.toString('hex')

describe('addresses', () => {
  it('reads text forms', () => {
    expect(hex('10.1.2.3')).toBe('0a010203')
    expect(hex('2001:db8:1::5')).toBe('20010db8000100000000000000000005')
    expect(hex('::')).toBe('0'.repeat(32))
    expect(hex('1:2:3:4:5:6:7:8')).toBe('00010002000300040005000600070008')
    expect(hex('64:ff9b::192.0.2.33')).toBe('0064ff9b0000000000000000c0000221')
    expect(hex('::ffff:10.1.2.3')).toBe('0a010203')
  })

  it('refuses what is none', () => {
    const wrong = [
      '',
      '10.1.2',
      '10.1.2.256',
      '10.1.2.3.4',
      '1:2',
      '1::2::3',
      '1:2:3:4:5:6:7:8::',
      'g::',
      '12345::',
      '1.2.3.4::',
    ]
    expect(wrong.filter((text) => parseAddress(text) !== null)).toEqual([])
  })

  it('writes IPv6 as RFC 5952 has it', () => {
    const written = (text: string) => formatAddress(parseAddress(text) ?? Buffer.alloc(0))
    expect(written('2001:0DB8:0:0:1:0:0:1')).toBe('2001:db8::1:0:0:1')
    expect(written('2001:db8:0:1:1:1:1:1')).toBe('2001:db8:0:1:1:1:1:1')
    expect(written('0:0:0:0:0:0:0:1')).toBe('::1')
    expect(written('1:0:0:0:0:0:0:0')).toBe('1::')
    expect(formatAddress(Buffer.alloc(3))).toBe('')
  })

  it('reads back what it writes', () => {
    const sparse = fc.array(fc.constantFrom(0, 0, 1, 0xab, 255), { minLength: 16, maxLength: 16 })
    fc.assert(
      fc.property(fc.oneof(sparse, fc.array(fc.nat(255), { minLength: 4, maxLength: 4 })), (list) => {
        const text = formatAddress(Buffer.from(list))
        expect(text.includes('.') || isIPv6(text)).toBe(true)
        expect(formatAddress(parseAddress(text) ?? Buffer.alloc(0))).toBe(text)
      }),
    )
  })
})
