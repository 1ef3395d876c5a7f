import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import { describe as describeTopology } from '../../../pipelines/core/runtime/index.ts'
import { createTestDriver, type TestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import type { Flow } from '../../../schemas/index.ts'
import { flow } from './fixtures.ts'
import { flowSessions, onTime, plainSessions, sessionLines, type Shape } from './sessions-case.ts'

/** A multiple of every `maxLengthMs` below: cuts lie at round numbers. */
const NOW = 1_200_000
const INPUT = 'telemetry.flows'
const OUTPUT = 'features.streams'
const PARTITIONS = 3
const partitions = { [INPUT]: PARTITIONS, [OUTPUT]: PARTITIONS }
const SHAPE: Shape = { gapMs: 100, graceMs: 50, maxLengthMs: 1000 }

const driverOf = (shape: Shape, merge: number, batchRecords = 3): Promise<TestDriver> =>
  createTestDriver(flowSessions(shape, merge), { partitions, clock: manualClock(NOW), batchRecords })

const sessionsOf = (driver: TestDriver): string[] => sessionLines(driver.output(OUTPUT, 'StreamFeature'))

/** Sends records `[at, bytes]` of one key to one partition and says what came of them. */
async function sessions(shape: Shape, sent: readonly (readonly [number, number])[]): Promise<string[]> {
  const driver = await driverOf(shape, 0)
  for (const [at, bytes] of sent) driver.pipe(INPUT, 0, 'Flow', flow(NOW + at, 'a', bytes))
  driver.end(INPUT)
  await driver.run()
  return sessionsOf(driver).map((line) => line.replaceAll(/\d{7,}/g, (ms) => String(Number(ms) - NOW)))
}

describe('a session', () => {
  test('lasts as long as records are at most a gap apart', async () => {
    expect(
      await sessions(SHAPE, [
        [10, 1],
        [110, 2],
        [150, 4],
        [251, 8],
        [351, 16],
      ]),
    ).toEqual(['a@10-150 3 7 1', 'a@251-351 2 24 1'])
  })

  test('two of them become one by a record between them that comes later', async () => {
    expect(
      await sessions({ ...SHAPE, graceMs: 200 }, [
        [10, 1],
        [160, 2],
        [100, 4],
      ]),
    ).toEqual(['a@10-160 3 7 1'])
  })

  test('that is as long as allowed is not cut, whatever multiples it crosses', async () => {
    const chain = Array.from({ length: 11 }, (_, i) => [950 + i * 100, 1] as const)
    expect(await sessions(SHAPE, chain)).toEqual(['a@950-1950 11 11 1'])
  })

  test('that would be longer is cut at the multiples of maxLengthMs', async () => {
    const chain = Array.from({ length: 22 }, (_, i) => [950 + i * 100, 1] as const)
    expect(await sessions(SHAPE, chain)).toEqual([
      'a@950-950 1 1 1',
      'a@1050-1950 10 10 1',
      'a@2050-2950 10 10 1',
      'a@3050-3050 1 1 1',
    ])
  })

  test('is emitted once the watermark has passed its last record, the gap and grace, and its slice', async () => {
    const driver = await driverOf(SHAPE, 0)
    const send = async (at: number, key: string) => {
      driver.pipe(INPUT, 0, 'Flow', flow(NOW + at, key, 1))
      await driver.run()
      return sessionsOf(driver).length
    }
    expect(await send(24, 'a')).toBe(0)
    expect(await send(24 + 100 + 50, 'b')).toBe(0)
    expect(await send(24 + 100 + 50 + 1, 'b')).toBe(1)
  })

  test('takes records until their slice is older than grace; what is later is a dead letter', async () => {
    const driver = await driverOf(SHAPE, 0)
    for (const at of [10, 74, 20, 75, 24, 25]) driver.pipe(INPUT, 0, 'Flow', flow(NOW + at, 'a', 1))
    driver.end(INPUT)
    await driver.run()
    expect(sessionsOf(driver)).toEqual([`a@${NOW + 10}-${NOW + 75} 5 5 1`])
    const letters = driver.output(`dlq.${INPUT}`, 'DeadLetter')
    expect(letters.map((l) => `${l.offset} ${l.reason_code}`)).toEqual(['4 RECORD_LATE'])
    expect(driver.counters).toMatchObject({ late: 1, accepted: 5, windows: 1 })
  })

  test('of many keys come and go, and their memory with them', async () => {
    const driver = await driverOf(SHAPE, 0, 1000)
    const flows: Flow[] = []
    for (let i = 0; i < 30_000; i++) flows.push(flow(NOW + i, `key-${i % 9973}`, i))
    for (const f of flows) driver.pipe(INPUT, 0, 'Flow', f, f.event_time_ms)
    driver.end(INPUT)
    await driver.run()
    expect(sessionsOf(driver)).toEqual(plainSessions(flows, SHAPE))
  })
})

describe('sessions of keys in several partitions', () => {
  test('are joined by a record of a partition that is behind', async () => {
    const driver = await driverOf(SHAPE, 2)
    const send = (partition: number, at: number, key = 'a') =>
      driver.pipe(INPUT, partition, 'Flow', flow(NOW + at, key, 1))
    send(0, 10)
    send(0, 180)
    send(0, 5000, 'b')
    send(2, 5000, 'b')
    await driver.run()
    expect(sessionsOf(driver)).toEqual([])
    send(1, 95)
    send(1, 5000, 'b')
    await driver.run()
    expect(sessionsOf(driver)).toEqual([`a@${NOW + 10}-${NOW + 180} 3 3 1`])
  })

  test('do not wait for a partition that is idle; what it brings later is a dead letter', async () => {
    const clock = manualClock(NOW)
    const driver = await createTestDriver(flowSessions(SHAPE, 1), { partitions, clock })
    const send = (partition: number, at: number) =>
      driver.pipe(INPUT, partition, 'Flow', flow(NOW + at, 'a', 1), NOW + at)
    send(0, 10)
    send(0, 900)
    await driver.run()
    clock.advance(5_000)
    send(0, 1000)
    await driver.run()
    driver.tick()
    await driver.run()
    expect(sessionsOf(driver)).toEqual([`a@${NOW + 10}-${NOW + 10} 1 1 1`])
    send(1, 60)
    send(1, 1500)
    await driver.run()
    driver.end(INPUT)
    await driver.run()
    expect(sessionsOf(driver).slice(1)).toEqual([
      `a@${NOW + 900}-${NOW + 1000} 2 2 1`,
      `a@${NOW + 1500}-${NOW + 1500} 1 1 1`,
    ])
    expect(driver.output(`dlq.${INPUT}`, 'DeadLetter').map((l) => [l.topic, l.reason_code])).toEqual([
      ['internal.slices', 'RECORD_LATE'],
    ])
  })
})

const sent = fc.record({
  at: fc.oneof(fc.integer({ min: 0, max: 3000 }), fc.integer({ min: 0, max: 400 })),
  stream: fc.nat(2),
  bytes: fc.integer({ min: 1, max: 1000 }),
  partition: fc.nat(PARTITIONS - 1),
})
const shapes = fc.constantFrom<Shape>(
  { gapMs: 100, graceMs: 50, maxLengthMs: 1000 },
  { gapMs: 120, graceMs: 0, maxLengthMs: 240 },
  { gapMs: 25, graceMs: 300, maxLengthMs: 25 },
  { gapMs: 400, graceMs: 10, maxLengthMs: 800 },
)
const flowOf = (s: { at: number; stream: number; bytes: number }): Flow =>
  flow(NOW + s.at, `s${s.stream}`, s.bytes, s.bytes % 7)

describe('sessions over any input', () => {
  test('are a function of the set of records: not of their order, partitions or batches', async () => {
    const runs = fc.array(
      fc.record({ seed: fc.integer(), merge: fc.nat(3), batch: fc.integer({ min: 1, max: 9 }) }),
      { minLength: 2, maxLength: 3 },
    )
    await fc.assert(
      fc.asyncProperty(fc.array(sent, { maxLength: 80 }), shapes, runs, async (records, shape, ways) => {
        const expected = plainSessions(records.map(flowOf), shape)
        for (const { seed, merge, batch } of ways) {
          const driver = await driverOf({ ...shape, graceMs: 10_000 }, merge, batch)
          const order = shuffled(records, seed)
          for (const s of order) {
            // Without a merge, partitions follow the key.
            const partition = merge === 0 ? s.stream : (s.partition + seed) & 1
            driver.pipe(INPUT, partition, 'Flow', flowOf(s))
          }
          driver.end(INPUT)
          await driver.run()
          expect(sessionsOf(driver)).toEqual(expected)
          for (const w of driver.output(OUTPUT, 'StreamFeature'))
            expect(w.window_end_ms - w.window_start_ms).toBeLessThanOrEqual(shape.maxLengthMs)
        }
      }),
      { numRuns: 60 },
    )
  })

  const step = fc.oneof(
    {
      weight: 9,
      arbitrary: fc.record({
        kind: fc.constant('flow' as const),
        partition: fc.nat(PARTITIONS - 1),
        /** Against the largest time so far: most go on, some are late within grace, some beyond, some after a gap. */
        stepMs: fc.oneof(
          { weight: 6, arbitrary: fc.integer({ min: -80, max: 110 }) },
          { weight: 1, arbitrary: fc.integer({ min: -500, max: 700 }) },
        ),
        stream: fc.nat(1),
        bytes: fc.integer({ min: 1, max: 1000 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('commit', 'crash', 'work and crash') }) },
  )

  test.each([
    ['merged', 2],
    ['merged on one partition', 1],
    ['where partitions follow the key', 0],
  ])(
    'a crash after any step, before or after any commit, changes nothing, late records included: %s',
    async (_name, merge) => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { minLength: 1, maxLength: 120 }),
          shapes,
          fc.integer({ min: 1, max: 9 }),
          async (steps, shape, batch) => {
            const driver = await driverOf(shape, merge, batch)
            const flows = Array.from({ length: PARTITIONS }, (): Flow[] => [])
            const latest = flows.map(() => 500)
            for (const s of steps) {
              if (s.kind === 'flow') {
                const own = latest[s.partition] as number
                const at = Math.max(0, own + s.stepMs)
                latest[s.partition] = Math.max(at, own)
                const stream = merge === 0 ? s.stream + 2 * s.partition : s.stream
                const f = flowOf({ ...s, at, stream })
                flows[s.partition]?.push(f)
                driver.pipe(INPUT, s.partition, 'Flow', f, f.event_time_ms)
              } else {
                if (s.kind === 'commit') await driver.run()
                else if (s.kind === 'work and crash') await driver.run({ commit: false })
                if (s.kind !== 'commit') await driver.crash()
              }
            }
            driver.end(INPUT)
            await driver.run()
            const taken = flows.flatMap((own) => onTime(own, shape))
            expect(sessionsOf(driver)).toEqual(plainSessions(taken, shape))
            expect(driver.output(`dlq.${INPUT}`, 'DeadLetter')).toHaveLength(
              flows.flat().length - taken.length,
            )
          },
        ),
        { numRuns: 120 },
      )
    },
  )
})

test('a restart reads no further back than maxLengthMs and the gap, and writes nothing by itself', async () => {
  let replayed = 0
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: -80, max: 110 }), { minLength: 40, maxLength: 200 }),
      shapes,
      async (stepsMs, shape) => {
        const driver = await driverOf(shape, 0)
        const times: number[] = []
        for (const [i, stepMs] of stepsMs.entries()) {
          const at = Math.max(500, ...times) + stepMs
          times.push(at)
          driver.pipe(INPUT, 0, 'Flow', flowOf({ at, stream: i % 2, bytes: 1 }), NOW + at)
          if (i % 20 === 19) await driver.run()
        }
        await driver.run()
        const before = driver.counters.replayed
        await driver.crash()
        driver.pipe(INPUT, 0, 'Flow', flowOf({ at: Math.max(...times), stream: 0, bytes: 1 }))
        await driver.run()
        // A slice is at most as long as the gap.
        const { gapMs, graceMs, maxLengthMs } = shape
        const fromMs = Math.max(...times) - graceMs - maxLengthMs - 5 * gapMs
        const most = times.length - times.findIndex((at) => at >= fromMs)
        expect(driver.counters.replayed - before).toBeLessThanOrEqual(most)
        replayed += driver.counters.replayed - before
        const after = [sessionsOf(driver), driver.marks(OUTPUT), driver.counters.late]
        for (let restarts = 0; restarts < 2; restarts++) {
          await driver.crash()
          await driver.run()
        }
        expect([sessionsOf(driver), driver.marks(OUTPUT), driver.counters.late]).toEqual(after)
      },
    ),
    { numRuns: 60 },
  )
  expect(replayed).toBeGreaterThan(0)
})

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const weigh = (i: number) => Math.imul((i + 1) ^ seed, 0x9e3779b1) >>> 0
  return items
    .map((item, i) => ({ item, weight: weigh(i) }))
    .sort((a, b) => a.weight - b.weight)
    .map(({ item }) => item)
}

test('the topology describes itself', async () => {
  await expect(describeTopology(flowSessions(SHAPE))).toMatchFileSnapshot(
    '../../golden/topologies/test.sessions.txt',
  )
})

test.each([
  [{ gapMs: 0 }, /gapMs 0/],
  [{ gapMs: 1.5 }, /gapMs 1.5/],
  [{ graceMs: -1 }, /graceMs -1/],
  [{ maxLengthMs: 150 }, /test.sessions\/streams: maxLengthMs 150 must be a multiple of gapMs 100/],
])('a shape that cannot work names node and field: %o', (wrong, message) => {
  expect(() => flowSessions({ ...SHAPE, ...wrong })).toThrow(message)
})
