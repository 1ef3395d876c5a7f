import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { manualClock } from '../../../pipelines/core/ports/index.ts'
import { createTestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import { flow, flowWindows, lines } from './fixtures.ts'

const NOW = 1_000_000

/** A record as it may come: good, early or late, not wanted, invalid, from the future, or no record at all. */
const record = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant('flow' as const),
      at: fc.integer({ min: 0, max: 6000 }),
      key: fc.integer({ min: 0, max: 4 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        ...([
          'skipped',
          'invalid',
          'ahead',
          'undecodable',
          'cut',
          'unknown schema',
          'null',
          'too large',
        ] as const),
      )
      .map((kind) => ({ kind, at: 0, key: 0 })),
  },
)
type Sent = typeof record extends fc.Arbitrary<infer T> ? T : never

/** What comes of the records if tasks are given so many of them at a time. */
async function outcome(sent: readonly Sent[], advanceMs: number, batchRecords: number) {
  const topology = flowWindows({ merge: 0, sizeMs: 1500, advanceMs, graceMs: 400 })
  const driver = await createTestDriver(topology, { clock: manualClock(NOW), batchRecords })
  const topic = 'telemetry.flows'
  for (const [i, { kind, at, key }] of sent.entries()) {
    const good = flow(NOW + at, `s${key}`, i, i % 5)
    const bytes = driver.codec.encode(topic, 'Flow', good)
    if (kind === 'flow') driver.pipe(topic, 0, 'Flow', good)
    else if (kind === 'skipped') driver.pipe(topic, 0, 'Flow', flow(NOW + 100, 'self', 1))
    else if (kind === 'invalid') driver.pipe(topic, 0, 'Flow', flow(NOW + 100, 's0', -1))
    else if (kind === 'ahead') driver.pipe(topic, 0, 'Flow', flow(NOW + 1e6, 's0', 1))
    else if (kind === 'undecodable') driver.pipeBytes(topic, 0, Buffer.from('no record'))
    else if (kind === 'cut') driver.pipeBytes(topic, 0, bytes.subarray(0, bytes.length - 3))
    else if (kind === 'unknown schema')
      driver.pipeBytes(topic, 0, Buffer.from([0, 0, 0, 1, 99, ...bytes.subarray(5)]))
    else if (kind === 'null') driver.pipeBytes(topic, 0, null)
    else driver.pipeBytes(topic, 0, Buffer.alloc(20_000))
  }
  driver.end(topic)
  await driver.run()
  const { recordsIn, accepted, late, deadLetters, skipped, windows } = driver.counters
  return {
    windows: lines(driver.output('features.streams', 'StreamFeature')),
    letters: driver.output('dlq.telemetry.flows', 'DeadLetter').map((letter) => ({ ...letter, at_ms: 0 })),
    counters: { recordsIn, accepted, late, deadLetters, skipped, windows },
  }
}

test.each([
  ['tumbling', 1500],
  ['hopping', 500],
])(
  '%s windows, dead letters and counters do not depend on where batches begin and end',
  async (_name, advanceMs) => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(record, { maxLength: 120 }),
        fc.integer({ min: 2, max: 60 }),
        async (sent, batchRecords) => {
          const oneByOne = await outcome(sent, advanceMs, 1)
          expect(await outcome(sent, advanceMs, batchRecords)).toEqual(oneByOne)
          expect(await outcome(sent, advanceMs, sent.length + 1)).toEqual(oneByOne)
          const { recordsIn, accepted, late, deadLetters, skipped } = oneByOne.counters
          expect(accepted + late + deadLetters + (skipped['self_pair'] ?? 0)).toBe(recordsIn)
        },
      ),
      { numRuns: 40 },
    )
  },
)

test('a window of many keys is written over several turns of the event loop, in one commit', async () => {
  const driver = await createTestDriver(flowWindows({ merge: 0 }), { clock: manualClock(NOW) })
  for (let k = 0; k < 20_000; k++) driver.pipe('telemetry.flows', 0, 'Flow', flow(NOW + 1, `s${k}`, 1))
  driver.end('telemetry.flows')
  let turns = 0
  let running = true
  const count = (): void => {
    turns++
    if (running) setImmediate(count)
  }
  setImmediate(count)
  await driver.run()
  running = false
  expect(driver.output('features.streams', 'StreamFeature')).toHaveLength(20_000)
  expect(turns).toBeGreaterThanOrEqual(4)
})
