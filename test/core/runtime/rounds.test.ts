import { Buffer } from 'node:buffer'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import {
  defineTopology,
  type Round,
  type RoundProcessor,
  type Topology,
} from '../../../pipelines/core/runtime/index.ts'
import { createTestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import type { RecordByName, StreamFeature } from '../../../schemas/index.ts'
import { flow, flowWindows, totalOf, totalsRound } from './fixtures.ts'

const NOW = 1_000_000

/** Running totals per stream: state that depends on every round since the beginning. */
function totals(): RoundProcessor {
  let sums: Record<string, number> = {}
  return {
    onRound(round: Round, out) {
      const rows = [...(round.rows['features'] as StreamFeature[])].sort((a, b) =>
        a.stream < b.stream ? -1 : 1,
      )
      for (const row of rows) {
        sums[row.stream] = (sums[row.stream] ?? 0) + row.bytes
        out.emit('forecasts', row.stream, totalOf(row.stream, round.timeMs, sums[row.stream] as number))
      }
    },
    snapshot: () => Buffer.from(JSON.stringify(sums)),
    restore(bytes) {
      sums = JSON.parse(Buffer.from(bytes).toString()) as Record<string, number>
    },
  }
}

function withTotals(snapshotEvery: number, create = totals): Topology {
  const windows = flowWindows()
  return defineTopology({
    ...windows,
    rounds: {
      totals: {
        scope: 'partition',
        ...totalsRound(windows),
        snapshotEvery,
        create,
      },
    },
  })
}

const partitions = { 'telemetry.flows': 2, 'features.streams': 2 }
const text = (rows: readonly RecordByName['Forecast'][]) =>
  rows.map((f) => `${f.entity}@${f.target_ms} ${f.q50}`).sort()

async function straight(values: readonly number[]): Promise<string[]> {
  const driver = await createTestDriver(withTotals(3), { partitions, clock: manualClock(NOW) })
  values.forEach((v, i) => driver.pipe('telemetry.flows', i % 2, 'Flow', flow(NOW + i * 400, `s${v % 3}`, v)))
  driver.end('telemetry.flows')
  await driver.run()
  return text(driver.output('forecasts.traffic', 'Forecast'))
}

test('rounds come in order, once, and state survives crashes between and inside commits', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 1, max: 99 }), { minLength: 1, maxLength: 40 }),
      fc.array(fc.integer({ min: 0, max: 39 }), { maxLength: 6 }),
      fc.integer({ min: 1, max: 5 }),
      async (values, crashes, snapshotEvery) => {
        const driver = await createTestDriver(withTotals(snapshotEvery), {
          partitions,
          clock: manualClock(NOW),
          batchRecords: 2,
        })
        for (const [i, v] of values.entries()) {
          driver.pipe('telemetry.flows', i % 2, 'Flow', flow(NOW + i * 400, `s${v % 3}`, v))
          if (i % 3 === 0) await driver.run()
          if (crashes.includes(i)) {
            await driver.run({ commit: false })
            await driver.crash()
          }
        }
        driver.end('telemetry.flows')
        await driver.run()
        expect(text(driver.output('forecasts.traffic', 'Forecast'))).toEqual(await straight(values))
      },
    ),
    { numRuns: 60 },
  )
})

test('a marked output tells its progress once all of its origins have passed', async () => {
  const driver = await createTestDriver(withTotals(3), { partitions, clock: manualClock(NOW) })
  driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW, 'a', 1))
  driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 5_000, 'a', 1))
  await driver.run()
  expect(driver.marks('forecasts.traffic')).toBe(0)
  driver.pipe('telemetry.flows', 1, 'Flow', flow(NOW + 3_000, 'b', 1))
  await driver.run()
  expect(driver.marks('forecasts.traffic')).toBe(2)
  expect(text(driver.output('forecasts.traffic', 'Forecast'))).toEqual([`a@${NOW + 1000} 1`])
})

test('a snapshot of another version is left out: its rounds are replayed, and the result is the same', async () => {
  const values = Array.from({ length: 30 }, (_, i) => i + 1)
  const warnings: Error[] = []
  const ofAnotherVersion = (): RoundProcessor => ({
    ...totals(),
    restore() {
      throw new RangeError('needs 1 byte, has 0')
    },
  })
  const driver = await createTestDriver(withTotals(2, ofAnotherVersion), {
    partitions,
    clock: manualClock(NOW),
    batchRecords: 2,
    onWarning: (error) => warnings.push(error),
  })
  for (const [i, v] of values.entries()) {
    driver.pipe('telemetry.flows', i % 2, 'Flow', flow(NOW + i * 400, `s${v % 3}`, v))
    if (i % 10 !== 9) continue
    await driver.run()
    await driver.crash()
  }
  driver.end('telemetry.flows')
  await driver.run()
  expect(text(driver.output('forecasts.traffic', 'Forecast'))).toEqual(await straight(values))
  expect(warnings[0]).toMatchObject({ code: 'STATE_UNREADABLE' })
})
