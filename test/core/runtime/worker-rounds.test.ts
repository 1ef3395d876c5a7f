import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import { defineTopology, type RoundProcessor, type Topology } from '../../../pipelines/core/runtime/index.ts'
import { createTestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import type { StreamFeature } from '../../../schemas/index.ts'
import { flow, flowWindows, totalOf, totalsRound } from './fixtures.ts'

const NOW = 1_000_000
const partitions = { 'telemetry.flows': 3, 'features.streams': 2 }

/** One running total over all partitions. */
function total(): RoundProcessor {
  let sum = 0
  return {
    onRound(round, out) {
      for (const row of round.rows['features'] as StreamFeature[]) sum += row.bytes
      out.emit('forecasts', 'all', totalOf('all', round.timeMs, sum))
    },
    snapshot: () => Buffer.from(String(sum)),
    restore(bytes) {
      sum = Number(Buffer.from(bytes).toString())
    },
  }
}

/** A joint node: one task reads every partition of the features. */
function jointTotals(snapshotEvery: number): Topology {
  const windows = flowWindows()
  return defineTopology({
    ...windows,
    rounds: {
      joint: {
        scope: 'all',
        ...totalsRound(windows),
        snapshotEvery,
        create: total,
      },
    },
  })
}

test('a joint round over several partitions survives crashes with snapshots of any age', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 30, maxLength: 60 }),
      fc.array(fc.nat(59), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 1, max: 6 }),
      // Which streams there are decides how many rows each partition of the features has.
      fc.array(fc.nat(99), { minLength: 2, maxLength: 6 }),
      async (values, crashes, snapshotEvery, streams) => {
        const driver = await createTestDriver(jointTotals(snapshotEvery), {
          partitions,
          clock: manualClock(NOW),
          batchRecords: 2,
        })
        const sums = new Map<number, number>()
        for (const [i, v] of values.entries()) {
          const atMs = NOW + i * 150
          driver.pipe('telemetry.flows', i % 3, 'Flow', flow(atMs, `s${streams[i % streams.length]}`, v))
          const endMs = Math.floor(atMs / 1000) * 1000 + 1000
          sums.set(endMs, (sums.get(endMs) ?? 0) + v)
          if (i % 2 === 0) await driver.run()
          if (crashes.includes(i)) {
            await driver.run({ commit: false })
            await driver.crash()
          }
        }
        driver.end('telemetry.flows')
        await driver.run()
        let sum = 0
        const expected = [...sums].map(([endMs, bytes]) => `${endMs} ${(sum += bytes)}`)
        const found = driver.output('forecasts.traffic', 'Forecast').map((f) => `${f.target_ms} ${f.q50}`)
        expect(found).toEqual(expected)
      },
    ),
    { numRuns: 60 },
  )
})

test('two nodes on one topic would share one committed offset: refused', () => {
  const { sources, windows } = flowWindows()
  const again = { ...sources, again: { ...sources['flows']! } }
  expect(() => defineTopology({ name: 'test', sources: again, windows, rounds: {} })).toThrow(
    /test\/again: topic 'telemetry.flows' is read by 'flows' already/,
  )
})
