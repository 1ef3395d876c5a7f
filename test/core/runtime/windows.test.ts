import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import { describe as describeTopology } from '../../../pipelines/core/runtime/index.ts'
import { createTestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import type { Flow } from '../../../schemas/index.ts'
import { flow, flowWindows, lines, offline } from './fixtures.ts'

const NOW = 1_000_000
const partitions = { 'telemetry.flows': 3, 'features.streams': 2 }
const clock = () => manualClock(NOW)

interface Sent {
  readonly at: number
  readonly stream: number
  readonly bytes: number
  readonly partition: number
}
const sent = fc.record({
  at: fc.integer({ min: 0, max: 9_000 }),
  stream: fc.integer({ min: 0, max: 5 }),
  bytes: fc.integer({ min: 0, max: 1000 }),
  partition: fc.integer({ min: 0, max: 2 }),
})
const flowOf = (s: Sent): Flow => flow(NOW + s.at, `s${s.stream}`, s.bytes, s.bytes % 7)

describe('windows over partitions that do not follow the key', () => {
  test.each([
    ['tumbling', 1000, 1000],
    ['hopping', 3000, 1000],
    ['hopping by a step that does not divide the size', 2500, 1000],
  ])('%s windows equal those computed offline', async (_name, sizeMs, advanceMs) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(sent, { maxLength: 60 }),
        fc.integer({ min: 1, max: 7 }),
        async (records, batchRecords) => {
          const topology = flowWindows({ sizeMs, advanceMs, graceMs: 10_000 })
          const driver = await createTestDriver(topology, { partitions, clock: clock(), batchRecords })
          for (const s of records) driver.pipe('telemetry.flows', s.partition, 'Flow', flowOf(s))
          driver.end('telemetry.flows')
          await driver.run()
          expect(lines(driver.output('features.streams', 'StreamFeature'))).toEqual(
            offline(records.map(flowOf), sizeMs, advanceMs),
          )
          expect(driver.counters.late).toBe(0)
        },
      ),
      { numRuns: 40 },
    )
  })

  test('a crash after any number of steps changes nothing', async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ kind: fc.constant('send' as const), sent }) },
      { weight: 2, arbitrary: fc.constant({ kind: 'run' as const }) },
      { weight: 2, arbitrary: fc.constant({ kind: 'work and crash' as const }) },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
        const driver = await createTestDriver(flowWindows({ graceMs: 500 }), {
          partitions,
          clock: clock(),
          batchRecords: 3,
        })
        // Ascending per partition, so that what is late does not depend on how the partitions interleave.
        const times = [0, 0, 0]
        const flows: Flow[] = []
        for (const s of steps) {
          if (s.kind === 'send') {
            const partition = s.sent.partition
            times[partition] = (times[partition] as number) + (s.sent.at % 700)
            const f = flowOf({ ...s.sent, at: times[partition] ?? 0 })
            flows.push(f)
            driver.pipe('telemetry.flows', partition, 'Flow', f)
          } else if (s.kind === 'run') await driver.run()
          else {
            await driver.run({ commit: false })
            await driver.crash()
          }
        }
        driver.end('telemetry.flows')
        await driver.run()
        expect(lines(driver.output('features.streams', 'StreamFeature'))).toEqual(offline(flows, 1000))
      }),
      { numRuns: 60 },
    )
  })
})

describe('windows where partitions follow the key', () => {
  test('close at the source, and late records beyond grace are dead letters', async () => {
    const driver = await createTestDriver(flowWindows({ merge: 0, graceMs: 200 }), { clock: clock() })
    const send = (at: number, bytes: number) =>
      driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + at, 'a', bytes))
    send(100, 1)
    send(1100, 2)
    send(900, 4)
    send(1200, 8)
    send(950, 16)
    driver.end('telemetry.flows')
    await driver.run()
    expect(lines(driver.output('features.streams', 'StreamFeature'))).toEqual([
      `a@${NOW} 2 5 1`,
      `a@${NOW + 1000} 2 10 1`,
    ])
    const [letter] = driver.output('dlq.telemetry.flows', 'DeadLetter')
    expect(letter).toMatchObject({ reason_code: 'RECORD_LATE', offset: 4 })
    expect(driver.counters).toMatchObject({ late: 1, accepted: 4, recordsIn: 5 })
  })
})

describe('bad input', () => {
  test('is kept with its reason, does not move time, and the stream goes on', async () => {
    const driver = await createTestDriver(flowWindows(), { partitions, clock: clock() })
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 1, 'a', 1))
    driver.pipeBytes('telemetry.flows', 0, Buffer.from('rubbish'))
    driver.pipeBytes('telemetry.flows', 0, Buffer.from([0, 0, 0, 3, 9, 1, 2]))
    driver.pipeBytes('telemetry.flows', 0, null)
    driver.pipeBytes('telemetry.flows', 0, Buffer.alloc(10_001))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 2, 'a', Number.NaN))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 3, 'a', -1))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 365 * 86_400_000, 'a', 1))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(0, 'a', 1))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 4, 'self', 1))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 5, 'a', 2))
    await driver.run()
    expect(driver.output('features.streams', 'StreamFeature')).toEqual([])
    driver.end('telemetry.flows')
    await driver.run()
    expect(lines(driver.output('features.streams', 'StreamFeature'))).toEqual([`a@${NOW} 2 3 1`])
    expect(
      driver.output('dlq.telemetry.flows', 'DeadLetter').map((l) => `${l.offset} ${l.reason_code}`),
    ).toEqual([
      '1 RECORD_UNDECODABLE',
      '2 RECORD_SCHEMA_UNKNOWN',
      '3 RECORD_UNDECODABLE',
      '4 RECORD_TOO_LARGE',
      '5 RECORD_INVALID',
      '6 RECORD_INVALID',
      '7 RECORD_TIME_INVALID',
      '8 RECORD_TIME_INVALID',
    ])
    expect(driver.counters.skipped).toEqual({ self_pair: 1 })
  })

  test('a record of megabytes leaves a letter that any broker takes', async () => {
    const driver = await createTestDriver(flowWindows(), { partitions, clock: clock() })
    driver.pipeBytes('telemetry.flows', 0, Buffer.alloc(10 << 20))
    await driver.run()
    const [letter] = driver.output('dlq.telemetry.flows', 'DeadLetter')
    expect(letter?.reason).toContain('10485760 bytes')
    expect(letter?.value?.length).toBeLessThan(1 << 20)
  })

  test('every record is accounted for in the ledger, without gap or overlap', async () => {
    const driver = await createTestDriver(flowWindows(), { partitions, clock: clock(), batchRecords: 2 })
    for (let i = 0; i < 20; i++)
      driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + i * 100, i % 5 === 0 ? 'self' : 'a', 1))
    await driver.run()
    await driver.crash()
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 5000, 'a', -1))
    await driver.run()
    const entries = driver.output('audit.offsets', 'OffsetLedger').filter((e) => e.partition === 0)
    entries.forEach((e, i) => expect(e.from_offset).toBe(i === 0 ? 0 : entries[i - 1]?.to_offset))
    const total = (of: (e: (typeof entries)[number]) => number) => entries.reduce((n, e) => n + of(e), 0)
    expect(total((e) => e.records)).toBe(21)
    expect(total((e) => e.accepted)).toBe(16)
    expect(total((e) => e.skipped['self_pair'] ?? 0)).toBe(4)
    expect(total((e) => e.dead_letters)).toBe(1)
  })
})

describe('silent partitions', () => {
  test('hold others up only until they are idle', async () => {
    const time = clock()
    const driver = await createTestDriver(flowWindows(), { partitions, clock: time })
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW, 'a', 1))
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 2500, 'a', 1))
    await driver.run()
    expect(driver.output('features.streams', 'StreamFeature')).toHaveLength(0)
    time.advance(4_000)
    driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 2600, 'a', 1), NOW)
    await driver.run()
    time.advance(1_500)
    driver.tick()
    await driver.run()
    expect(lines(driver.output('features.streams', 'StreamFeature'))).toEqual([`a@${NOW} 1 1 1`])
  })
})

test('the topology describes itself', async () => {
  await expect(describeTopology(flowWindows({ graceMs: 5 }))).toMatchFileSnapshot(
    '../../golden/topologies/test.windows.txt',
  )
})

test('a topology that cannot work names node and field', () => {
  expect(() => flowWindows({ sizeMs: 1000, advanceMs: 2000 })).toThrow(
    /test.windows\/streams: advanceMs 2000/,
  )
})
