import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Cells } from '../../../pipelines/core/runtime/cells.ts'
import { HEAD_NUMBERS, hashKey, KeyTable } from '../../../pipelines/core/runtime/key-table.ts'

/** Keys laid one after another in a buffer, as the records of a batch have them. */
function laid(keys: readonly Buffer[]) {
  const starts = new Int32Array(keys.length)
  const ends = new Int32Array(keys.length)
  let at = 0
  keys.forEach((key, i) => {
    starts[i] = at
    at += key.length
    ends[i] = at
  })
  return { buffer: Buffer.concat(keys), starts, ends }
}

/** Slots as the table must give them: by first appearance. */
function expectedSlots(keys: readonly Buffer[]): number[] {
  const slots = new Map<string, number>()
  return keys.map((key) => {
    const text = key.toString('latin1')
    const slot = slots.get(text) ?? slots.size
    slots.set(text, slot)
    return slot
  })
}

/** Two keys of 8 bytes that hash alike: the second half of one makes up for the difference of their first halves. */
function sameHash(): [Buffer, Buffer] {
  const halfway = (block: number) => {
    const h = Math.imul(8 ^ block, 0x9e3779b1)
    return h ^ (h >>> 15)
  }
  const bytes = (first: number, second: number) => {
    const key = Buffer.alloc(8)
    key.writeInt32LE(first, 0)
    key.writeInt32LE(second, 4)
    return key
  }
  return [bytes(1, 7), bytes(2, 7 ^ halfway(1) ^ halfway(2))]
}

const key = fc.oneof(
  { weight: 4, arbitrary: fc.integer({ min: 0, max: 300 }).map((k) => Buffer.from(`k${k}`)) },
  { weight: 2, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
)

describe('a table of keys', () => {
  test('gives slots by first appearance, key by key and in runs of any length', () => {
    fc.assert(
      fc.property(fc.array(key, { maxLength: 600 }), fc.integer({ min: 1, max: 97 }), (keys, run) => {
        const [single, runs] = [new KeyTable(), new KeyTable()]
        const { buffer, starts, ends } = laid(keys)
        const expected = expectedSlots(keys)
        expect(keys.map((_, i) => single.slot(buffer, starts[i] ?? 0, ends[i] ?? 0))).toEqual(expected)
        const got: number[] = []
        for (let from = 0; from < keys.length; from += run) {
          const count = Math.min(run, keys.length - from)
          const out = new Int32Array(count)
          runs.slots(buffer, starts.subarray(from), ends.subarray(from), count, out)
          got.push(...out)
        }
        expect(got).toEqual(expected)
        keys.forEach((bytes, i) => expect(runs.view(expected[i] ?? 0).equals(bytes)).toBe(true))
        expect(runs.size).toBe(new Set(expected).size)
      }),
    )
  })

  test('keeps 60,000 keys apart, beyond one page, one chunk and the size that is looked up with prefetching', () => {
    const table = new KeyTable()
    const keys = Array.from({ length: 60_000 }, (_, k) => Buffer.from(`device-${k}`))
    const { buffer, starts, ends } = laid(keys)
    const out = new Int32Array(500)
    for (let round = 0; round < 2; round++) {
      for (let from = 0; from < keys.length; from += 500) {
        table.slots(buffer, starts.subarray(from), ends.subarray(from), 500, out)
        expect([out[0], out[499]]).toEqual([from, from + 499])
      }
    }
    expect(table.size).toBe(60_000)
    expect(table.text(59_999)).toBe('device-59999')
  })

  test('takes keys larger than a chunk, and goes on after them', () => {
    const table = new KeyTable()
    const keys = [Buffer.from('a'), Buffer.alloc(300_000, 'x'), Buffer.from('b'), Buffer.alloc(0)]
    const { buffer, starts, ends } = laid(keys)
    const slots = () => keys.map((_, i) => table.slot(buffer, starts[i] ?? 0, ends[i] ?? 0))
    expect([slots(), slots()]).toEqual([
      [0, 1, 2, 3],
      [0, 1, 2, 3],
    ])
    expect(keys.map((bytes, slot) => table.view(slot).equals(bytes))).toEqual([true, true, true, true])
  })

  test('two keys with the same 32-bit hash stay apart in one run', () => {
    const [a, b] = sameHash()
    expect([hashKey(a, 0, 8), a.equals(b)]).toEqual([hashKey(b, 0, 8), false])
    const table = new KeyTable()
    const { buffer, starts, ends } = laid([a, b, a, b])
    const out = new Int32Array(4)
    table.slots(buffer, starts, ends, 4, out)
    expect([...out]).toEqual([0, 1, 0, 1])
  })

  test('counts the bytes it holds, and grows by no more than its buckets at a time', () => {
    const rows = new Cells(['sum'], HEAD_NUMBERS)
    const table = new KeyTable(rows)
    let before = Number.POSITIVE_INFINITY
    let mostGrowth = 0
    for (let k = 0; k < 50_000; k++) {
      const bytes = Buffer.from(`key-${k}`)
      table.slot(bytes, 0, bytes.length)
      const now = table.bytes + rows.bytes
      mostGrowth = Math.max(mostGrowth, now / before)
      before = now
    }
    expect(mostGrowth).toBeLessThan(2)
    expect(before / 50_000).toBeLessThan(60)
  })
})
