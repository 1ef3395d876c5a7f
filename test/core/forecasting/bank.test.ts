import { describe, expect, it } from 'vitest'
import { type ForecasterBank, forecasterBank, LEVELS } from '../../../pipelines/core/forecasting/index.ts'
import { isError, mulberry32 } from '../../../pipelines/core/ports/index.ts'

const OPTIONS = { stepMs: 1000, horizon: 4, seasons: [12], historyPoints: 96, refitEvery: 24 }
const KEYS = ['a', 'b>c', 'größe', 'never seen']

function feed(bank: ForecasterBank, from: number, to: number): void {
  const random = mulberry32(from)
  for (let t = from; t < to; t++) {
    for (const key of KEYS.slice(0, 3)) bank.observe(key, t * 1000, 10 + key.length + random.uniform())
  }
}

function everything(bank: ForecasterBank): number[] {
  const out = new Float64Array(KEYS.length * 4 * LEVELS)
  expect(bank.forecastMany(KEYS, out)).toBe(3)
  return [...out]
}

describe('forecasterBank', () => {
  it('goes on from a snapshot as if nothing had happened', () => {
    const bank = forecasterBank(OPTIONS)
    feed(bank, 1, 130)
    const copy = forecasterBank(OPTIONS)
    copy.restore(bank.snapshot())
    expect(copy.size).toBe(3)
    expect([...copy.keys()]).toEqual(KEYS.slice(0, 3))
    feed(bank, 130, 200)
    feed(copy, 130, 200)
    expect(everything(copy)).toEqual(everything(bank))
    expect(Buffer.compare(copy.snapshot(), bank.snapshot())).toBe(0)
  })

  it('fills one row per key, NaN for a key it does not know', () => {
    const bank = forecasterBank(OPTIONS)
    feed(bank, 1, 40)
    const out = everything(bank)
    expect(out.slice(0, 3 * 4 * LEVELS).every(Number.isFinite)).toBe(true)
    expect(out.slice(3 * 4 * LEVELS).every(Number.isNaN)).toBe(true)
  })

  it('refuses a snapshot of other options, another version or half of one, and keeps what it has', () => {
    const bank = forecasterBank(OPTIONS)
    feed(bank, 1, 40)
    const before = everything(bank)
    const snapshot = bank.snapshot()
    const wrong = [
      forecasterBank({ ...OPTIONS, horizon: 5 }).snapshot(),
      Uint8Array.of(99, ...snapshot.subarray(1)),
      snapshot.subarray(0, snapshot.length - 5),
      new Uint8Array(0),
    ]
    for (const bytes of wrong) {
      let caught: unknown
      try {
        bank.restore(bytes)
      } catch (error) {
        caught = error
      }
      expect(isError(caught, 'STATE_UNREADABLE')).toBe(true)
    }
    expect(everything(bank)).toEqual(before)
  })

  it('drops series that have gone silent', () => {
    const bank = forecasterBank(OPTIONS)
    feed(bank, 1, 10)
    bank.observe('a', 100_000, 1)
    expect(bank.expire(50_000)).toBe(2)
    expect([...bank.keys()]).toEqual(['a'])
    expect(bank.get('a')?.lastMs).toBe(100_000)
  })

  it('stays small: under 10 kB of state a series with a daily season of 288', () => {
    const bank = forecasterBank({
      stepMs: 300_000,
      horizon: 12,
      seasons: [288],
      historyPoints: 864,
      nonNegative: true,
    })
    for (let t = 1; t <= 1000; t++) bank.observe('x', t * 300_000, 50 + 10 * Math.sin(t / 45.8) + (t % 7))
    expect(bank.memoryBytes).toBeLessThan(10_000)
    expect(bank.snapshot().length).toBeLessThan(10_000)
  })
})
