import { expect, inject, test } from 'vitest'
import { stallSink } from '../../jobs/bench/bounded-sink.ts'
import { BOUND_OF_TESTS, boundState } from '../../jobs/bench/bounded.ts'

// The long version, with a million keys: npm run bench -- bounded
const brokers = inject('kafkaBrokers')
const print = (): void => undefined

test('many keys and a hot one: state stays under its bound, sources pause, and all windows come out once', async () => {
  const run = await boundState({
    ...BOUND_OF_TESTS,
    brokers,
    partitions: 8,
    windowMs: 10_000,
    compare: false,
    print,
  })
  expect(run.bounded.stateBytes).toBeLessThan(1.05 * run.bound)
  expect(run.bounded.stateBytes).toBeGreaterThan(0.5 * run.bound)
  expect(run.bounded.pauses).toBeGreaterThan(0)
  expect([run.wrongWindows, run.bounded.late]).toEqual([0, 0])
}, 120_000)

test('ClickHouse stands still: what waits stays under its bound, and every row is in afterwards', async () => {
  const run = await stallSink({ brokers, rows: 150_000, print })
  expect(run.bufferedBytes).toBeLessThan(1.25 * run.bound)
  expect(run.pauses).toBeGreaterThan(0)
  expect(run.rowsFound).toBe(run.rows)
}, 120_000)
