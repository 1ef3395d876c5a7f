import { describe, expect, it } from 'vitest'
import { fmix32, fnv1a, hashFiveTuple } from '#core/math'

describe('hashFiveTuple', () => {
  it('is FNV-1a over addresses, big-endian ports and protocol, then mixed', () => {
    const bytes = Uint8Array.of(10, 0, 0, 1, 192, 168, 7, 255, 0x1f, 0x90, 0x01, 0xbb, 6)
    expect(hashFiveTuple(bytes.subarray(0, 4), bytes.subarray(4, 8), 8080, 443, 6)).toBe(
      fmix32(fnv1a(bytes, 0, 13)),
    )
  })

  it('spreads neighbouring flows evenly over the leading bits', () => {
    const counts = new Float64Array(64)
    const source = Uint8Array.of(10, 0, 0, 0)
    const destination = Uint8Array.of(10, 1, 0, 9)
    for (let i = 0; i < 64_000; i++) {
      source[3] = i & 255
      counts[hashFiveTuple(source, destination, 32_768 + (i >>> 8), 443, 6) >>> 26]! += 1
    }
    const chiSquare = counts.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)
    expect(chiSquare).toBeLessThan(104) // 63 degrees of freedom: p = 0.001
  })
})
