import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AggregatePlan } from '../../../pipelines/core/runtime/aggregate-columns.ts'
import {
  type AggregateSpec,
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
import { WindowStore } from '../../../pipelines/core/runtime/window-store.ts'

const KEY = 0
const VALUE = 1
const value = (row: Row): number => row.numbers[VALUE] as number
const AGGREGATES: Record<string, AggregateSpec> = {
  records: count(),
  total: sum(VALUE),
  squares: sum((row) => value(row) ** 2),
  least: min(VALUE),
  most: max(VALUE),
  average: mean(VALUE),
  median: sketch(VALUE),
  keys: distinct(KEY),
  bins: histogram(VALUE, 4, (row) => value(row) & 3),
}
const NAMES = Object.keys(AGGREGATES)
const BINS = [0, 1, 2, 3]

interface Sent {
  readonly atMs: number
  readonly key: number
  readonly value: number
  /** A new batch, with a buffer of its own, begins before this record. */
  readonly batch: boolean
}

/** Windows by `key@start-end`, in words: what every aggregate says. */
type Windows = Map<string, string>

function shaped(sizeMs: number, advanceMs: number, graceMs: number) {
  const store = new WindowStore({ sizeMs, advanceMs, graceMs }, new AggregatePlan(Object.values(AGGREGATES)))
  const windows: Windows = new Map()
  let closedThroughMs = Number.NEGATIVE_INFINITY
  return {
    store,
    windows,
    closeThrough: async (throughMs: number): Promise<void> => {
      if (throughMs <= closedThroughMs) return
      await store.close(closedThroughMs, throughMs, async (pane, startMs, endMs) => {
        for (let slot = 0; slot < pane.keys.size; slot++) {
          const values = NAMES.map((name, i) =>
            name === 'bins'
              ? BINS.map((bin) => pane.columns[i]?.value(slot, bin)).join('/')
              : pane.columns[i]?.value(slot, 0.5),
          )
          windows.set(`${pane.keys.text(slot)}@${startMs}-${endMs}`, values.join(' '))
        }
      })
      closedThroughMs = throughMs
    },
  }
}

/** As a task does it: rows are read in place, batches flush, time closes windows. Records that were late, by index. */
async function inBatches(sent: readonly Sent[], sizeMs: number, advanceMs: number, graceMs: number) {
  const { store, windows, closeThrough } = shaped(sizeMs, advanceMs, graceMs)
  const row = {
    buffer: Buffer.alloc(0),
    numbers: new Float64Array(2),
    starts: new Int32Array(2),
    ends: new Int32Array(2),
  }
  const late: number[] = []
  let watermarkMs = Number.NEGATIVE_INFINITY
  let at = 0
  for (const [i, s] of sent.entries()) {
    if (s.batch || i === 0) {
      store.flush()
      row.buffer.fill(0) // what a batch held is gone with it
      row.buffer = Buffer.alloc(16 * sent.length)
      at = 0
    }
    row.starts[KEY] = at
    at += row.buffer.write(`key-${s.key}`, at)
    row.ends[KEY] = at
    row.numbers[VALUE] = s.value
    if (s.atMs > watermarkMs) {
      watermarkMs = s.atMs
      await closeThrough(store.closesThroughMs(watermarkMs))
    }
    if (!store.add(s.atMs, row, KEY, i, watermarkMs)) late.push(i)
  }
  await closeThrough(Number.POSITIVE_INFINITY)
  return { windows, late, store }
}

/** The plainest way: a store per window and key, one record after the other, each flushed at once. */
function oneByOne(sent: readonly Sent[], sizeMs: number, advanceMs: number, graceMs: number) {
  const late: number[] = []
  const records = new Map<string, Sent[]>()
  let watermarkMs = Number.NEGATIVE_INFINITY
  for (const [i, s] of sent.entries()) {
    watermarkMs = Math.max(watermarkMs, s.atMs)
    let taken = false
    const last = Math.floor(s.atMs / advanceMs) * advanceMs
    for (let startMs = last; startMs > s.atMs - sizeMs; startMs -= advanceMs) {
      if (startMs + sizeMs + graceMs <= watermarkMs) continue
      taken = true
      const id = `key-${s.key}@${startMs}-${startMs + sizeMs}`
      const list = records.get(id)
      if (list === undefined) records.set(id, [s])
      else list.push(s)
    }
    if (!taken) late.push(i)
  }
  const windows: Windows = new Map()
  for (const [id, list] of records) {
    const of = (pick: (values: readonly number[]) => number) => pick(list.map((s) => s.value))
    const add = (values: readonly number[]) => values.reduce((a, b) => a + b, 0)
    windows.set(
      id,
      [
        list.length,
        of(add),
        of((v) => add(v.map((x) => x * x))),
        of((v) => Math.min(...v)),
        of((v) => Math.max(...v)),
        of((v) => add(v) / v.length),
        'median',
        1,
        BINS.map((bin) => of((v) => add(v.filter((x) => (x & 3) === bin)))).join('/'),
      ].join(' '),
    )
  }
  return { windows, late }
}

/** Medians are within 1 % of a value: compared as such, the rest exactly. */
const withoutMedian = (windows: Windows) =>
  [...windows].map(([id, text]) => `${id} ${text.split(' ').toSpliced(6, 1).join(' ')}`).sort()

const sent = fc.record({
  atMs: fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: 0, max: 3000 }) },
    { weight: 1, arbitrary: fc.integer({ min: 0, max: 20_000 }) },
  ),
  key: fc.integer({ min: 0, max: 12 }),
  value: fc.integer({ min: 0, max: 1000 }),
  batch: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
})

describe('windows filled in runs', () => {
  test.each([
    ['tumbling', 500, 500, 300],
    ['hopping', 1500, 500, 0],
    ['hopping by a step that does not divide the size', 700, 300, 250],
  ])(
    '%s: the same as record by record, and the same records late',
    async (_name, sizeMs, advanceMs, graceMs) => {
      await fc.assert(
        fc.asyncProperty(fc.array(sent, { maxLength: 200 }), async (records) => {
          const got = await inBatches(records, sizeMs, advanceMs, graceMs)
          const expected = oneByOne(records, sizeMs, advanceMs, graceMs)
          expect(withoutMedian(got.windows)).toEqual(withoutMedian(expected.windows))
          expect(got.late).toEqual(expected.late)
          expect(got.store.size).toBe(0)
        }),
        { numRuns: 150 },
      )
    },
  )

  test('runs longer than their room, over several pages of keys, lose nothing', async () => {
    const records = Array.from({ length: 30_000 }, (_, i) => ({
      atMs: i % 2 === 0 ? 1 : 600,
      key: i % 7001,
      value: i % 97,
      batch: i % 1000 === 0,
    }))
    const got = await inBatches(records, 500, 500, 10_000)
    expect(withoutMedian(got.windows)).toEqual(withoutMedian(oneByOne(records, 500, 500, 10_000).windows))
  })

  test('an open window says from which record it must be replayed, before its run is flushed too', () => {
    const { store } = shaped(500, 500, 0)
    const row = {
      buffer: Buffer.from('k'),
      numbers: new Float64Array(2),
      starts: new Int32Array(2),
      ends: Int32Array.of(1, 0),
    }
    store.add(600, row, KEY, 17, 600)
    store.add(100, row, KEY, 12, 100)
    expect([store.replayFrom(99), store.size]).toEqual([12, 2])
  })
})
