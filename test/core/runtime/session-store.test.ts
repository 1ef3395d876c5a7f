import { describe, expect, test } from 'vitest'
import {
  type AggregateSpec,
  ClosedWindow,
  count,
  distinct,
  histogram,
  max,
  mean,
  min,
  type Row,
  sketch,
  sum,
} from '../../../pipelines/core/runtime/index.ts'
import { slicePlan, sliceShape } from '../../../pipelines/core/runtime/session-shape.ts'
import { SessionStore } from '../../../pipelines/core/runtime/session-store.ts'
import { WindowStore } from '../../../pipelines/core/runtime/window-store.ts'

const [KEY, VALUE, TIME] = [0, 1, 2]
const value = (row: Row): number => row.numbers[VALUE] as number
const AGGREGATES: Record<string, AggregateSpec> = {
  records: count(),
  total: sum(VALUE),
  least: min(VALUE),
  most: max(VALUE),
  average: mean(VALUE),
  median: sketch(VALUE),
  keys: distinct(KEY),
  bins: histogram(VALUE, 2, (row) => value(row) & 1),
}
const SHAPE = { kind: 'session', gapMs: 40, graceMs: 0, maxLengthMs: 200 } as const

/** A store that is given records in the order of time, slice by slice. */
function world() {
  const plan = slicePlan(AGGREGATES, TIME)
  const slices = new WindowStore(sliceShape(SHAPE), plan)
  const closed: string[] = []
  const view = new ClosedWindow(Object.keys(AGGREGATES))
  const store = new SessionStore(SHAPE, plan, (...session) => {
    view.at(...session)
    const figures = Object.keys(AGGREGATES).map((name) => {
      if (name === 'bins') return `${view.bin(name, 0)}/${view.bin(name, 1)}`
      return name === 'median' ? Math.round(view.value(name)) : view.value(name)
    })
    closed.push(`${view.key}@${view.startMs}-${view.endMs} ${figures.join(' ')}`)
  })
  let settledMs = Number.NEGATIVE_INFINITY
  return {
    store,
    closed,
    add(timeMs: number, key: string, x: number): void {
      const buffer = Buffer.from(key)
      const numbers = Float64Array.of(0, x, timeMs)
      const row = {
        buffer,
        numbers,
        starts: Int32Array.of(0, 0, 0),
        ends: Int32Array.of(buffer.length, 0, 0),
      }
      slices.add(timeMs, row, KEY, 0, Number.NEGATIVE_INFINITY)
    },
    async settle(throughMs: number): Promise<void> {
      await slices.close(settledMs, throughMs, (slice) => store.fold(slice))
      await store.close(throughMs)
      settledMs = throughMs
    },
  }
}

describe('a store of sessions', () => {
  test('keeps every kind of aggregate over slices, and begins anew in the same slot', async () => {
    const w = world()
    for (const [timeMs, x] of [
      [5, 4],
      [12, 7],
      [38, 10],
      [100, 3],
    ] as const)
      w.add(timeMs, 'a', x)
    await w.settle(1000)
    expect(w.closed).toEqual(['a@5-38 3 21 4 10 7 7 1 14/7', 'a@100-100 1 3 3 3 3 3 1 0/3'])
    expect(w.store.size).toBe(0)
  })

  test('joins what lies on both sides of a line if that is no longer than allowed', async () => {
    const w = world()
    for (let timeMs = 150; timeMs <= 350; timeMs += 25) w.add(timeMs, 'a', 2)
    await w.settle(2000)
    expect(w.closed).toEqual(['a@150-350 9 18 2 2 2 2 1 18/0'])
  })

  test('gives away what lies before a line as soon as it is known that the line cuts', async () => {
    const w = world()
    for (let timeMs = 150; timeMs <= 375; timeMs += 25) w.add(timeMs, 'a', timeMs % 4)
    await w.settle(350)
    expect([w.closed.length, w.store.restsOnMs]).toEqual([0, 150])
    await w.settle(380)
    expect(w.closed).toEqual(['a@150-175 2 5 2 3 2.5 2 1 2/3'])
    // Records from more than maxLengthMs before the last one show a replay that the chain is cut.
    expect(w.store.restsOnMs).toBe(375 - 200 - 1 - 40)
    await w.settle(2000)
    expect(w.closed.slice(1)).toEqual(['a@200-375 8 12 0 3 1.5 1 1 4/8'])
  })

  test('cuts a chain that begins in one stretch, passes through another and ends in a third', async () => {
    const w = world()
    for (let timeMs = 190; timeMs <= 410; timeMs += 20) w.add(timeMs, 'a', 1)
    await w.settle(2000)
    expect(w.closed.map((line) => line.split(' ')[0])).toEqual(['a@190-190', 'a@210-390', 'a@410-410'])
  })

  test('keeps keys apart that are longer than what lies beside the aggregates', async () => {
    const w = world()
    const keys = Array.from(
      { length: 3000 },
      (_, i) => `${'a long key, as those of streams are, '.repeat(2)}${i}`,
    )
    for (const timeMs of [1, 15, 31]) for (const key of keys) w.add(timeMs, key, 1)
    await w.settle(1000)
    expect(w.closed.map((line) => line.split(' 3 ')[0])).toEqual(keys.map((key) => `${key}@1-31`))
  })

  test('keeps memory for the keys that are active, not for all there ever were', async () => {
    const w = world()
    w.add(0, 'stays', 1)
    let most = 0
    for (let round = 0; round < 40; round++) {
      for (let key = 0; key < 1500; key++) w.add(round * 100 + 1, `key-${round}-${key}`, 1)
      for (let timeMs = round * 100; timeMs < round * 100 + 100; timeMs += 20) w.add(timeMs, 'stays', 1)
      await w.settle(round * 100 + 100)
      most = Math.max(most, w.store.bytes)
      expect(w.store.size).toBe(1)
    }
    const active = w.closed.filter((line) => line.startsWith('stays'))
    expect(w.closed.length - active.length).toBe(40 * 1500)
    // The last stretch is still open.
    expect(active.map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual(
      Array.from({ length: 19 }, (_, i) => `stays@${i * 200}-${i * 200 + 180} ${i === 0 ? 11 : 10}`),
    )
    expect(w.store.bytes).toBeLessThan(200_000)
    expect(most).toBeLessThan(4_000_000)
  })
})
