/** A source of uniform random numbers; an argument wherever randomness is used, so that runs repeat. */
export interface Random {
  /** The next 32-bit unsigned integer. */
  uint32(): number
  /** The next number in [0, 1). */
  uniform(): number
}

/**
 * mulberry32 (Tommy Ettinger, public domain): 32 bits of state, good enough for sampling and fast.
 * Seed 1 begins 2693262067, 11749833, 2265367787.
 */
export function mulberry32(seed: number): Random {
  let a = seed >>> 0
  const uint32 = () => {
    a = (a + 0x6d2b79f5) >>> 0
    let t = Math.imul(a ^ (a >>> 15), a | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }
  return { uint32, uniform: () => uint32() / 4294967296 }
}
