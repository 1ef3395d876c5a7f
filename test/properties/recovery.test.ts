import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { manualClock } from '#core/ports'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'
import type { Flow, OffsetLedger } from '../../schemas/index.ts'
import { flow, flowWindows, lines } from '../core/runtime/fixtures.ts'
import { plainWindows, type Sample } from '../../jobs/bench/differential-input.ts'

const NOW = 1_000_000
const INPUT = 'telemetry.flows'
const OUTPUT = 'features.streams'
const PARTITIONS = 2
const GRACE_MS = 500
const SIZE_MS = 1000

/** Records of any order and kind, and what happens between them. */
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom('flow' as const),
      partition: fc.nat(PARTITIONS - 1),
      /** Against the largest time so far: most go on, some are late within grace, some beyond, some after a gap. */
      stepMs: fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: -2200, max: 700 }) },
        { weight: 1, arbitrary: fc.integer({ min: -5000, max: 9000 }) },
      ),
      stream: fc.nat(3),
      bytes: fc.nat(1000),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('rubbish' as const), partition: fc.nat(PARTITIONS - 1) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom('commit', 'crash', 'work and crash') }) },
)
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

const steps = fc.array(step, { minLength: 1, maxLength: 80 })
const batchRecords = fc.integer({ min: 1, max: 9 })

/** What was sent, partition by partition. */
interface Sent {
  readonly samples: Sample[]
  /** Offsets of what no decoder reads, `partition:offset`. */
  readonly rubbish: string[]
  readonly records: number
}

/** Calls `act` for everything that is not a record, and keeps account of what was sent. */
async function play(
  driver: TestDriver,
  list: readonly Step[],
  act: (kind: string) => Promise<void>,
): Promise<Sent> {
  const samples: Sample[] = []
  const rubbish: string[] = []
  const latest = Array.from({ length: PARTITIONS }, () => 0)
  const next = Array.from({ length: PARTITIONS }, () => 0)
  for (const s of list) {
    if (s.kind === 'flow') {
      const at = Math.max(0, (latest[s.partition] as number) + s.stepMs)
      latest[s.partition] = Math.max(at, latest[s.partition] as number)
      const f: Flow = flow(NOW + at, `s${s.stream}`, s.bytes, s.bytes % 7)
      driver.pipe(INPUT, s.partition, 'Flow', f, f.event_time_ms)
      // Partitions have keys of their own: each window is closed by one of them.
      samples.push({ partition: s.partition, key: f.stream, timeMs: f.event_time_ms, value: s.bytes })
      next[s.partition]!++
    } else if (s.kind === 'rubbish') {
      driver.pipeBytes(INPUT, s.partition, Buffer.from('rubbish'))
      rubbish.push(`${s.partition}:${next[s.partition]!++}`)
    } else await act(s.kind)
  }
  return { samples, rubbish, records: next.reduce((a, b) => a + b, 0) }
}

/** Commits, crashes as told. */
const crashing =
  (driver: TestDriver) =>
  async (kind: string): Promise<void> => {
    if (kind === 'commit') await driver.run()
    else if (kind === 'work and crash') await driver.run({ commit: false })
    if (kind !== 'commit') await driver.crash()
  }

/** Windows where partitions follow the key, so that late records are late in one partition alone. */
const aligned = (batch: number, advanceMs = SIZE_MS, sizeMs = SIZE_MS): Promise<TestDriver> =>
  createTestDriver(flowWindows({ merge: 0, graceMs: GRACE_MS, sizeMs, advanceMs }), {
    partitions: { [INPUT]: PARTITIONS, [OUTPUT]: PARTITIONS },
    clock: manualClock(NOW),
    batchRecords: batch,
  })

const lettersOf = (driver: TestDriver) =>
  driver
    .output(`dlq.${INPUT}`, 'DeadLetter')
    .map((l) => ({ at: `${l.partition}:${l.offset}`, code: l.reason_code }))

/** Windows of one partition as lines, computed the plain way; those that the end of the input closes included. */
function plainLines(sent: Sent, sizeMs: number, advanceMs: number): string[] {
  const byPartition = Array.from({ length: PARTITIONS }, (_, partition) => {
    const own = sent.samples.filter((s) => s.partition === partition)
    const end: Sample = { partition, key: 'end', timeMs: NOW + 10 ** 9, value: 0 }
    const { rows } = plainWindows([...own, end], { name: '', sizeMs, advanceMs, graceMs: GRACE_MS })
    return [...rows].map(([id, kept]) => {
      const [count, sum] = kept.split(' ')
      return `${id.replace(/-\d+$/, '')} ${count} ${sum}`
    })
  })
  return byPartition.flat().sort()
}

describe('recovery by bounded replay, over any input, batches, commits and crashes', () => {
  test.each([
    ['tumbling', SIZE_MS, SIZE_MS],
    ['hopping', 3000, 1000],
    ['hopping by a step that does not divide the size', 2500, 1000],
  ])(
    'whether a record is late depends on its partition up to it, never on batches or crashes: %s',
    async (_name, sizeMs, advanceMs) => {
      await fc.assert(
        fc.asyncProperty(steps, batchRecords, async (list, batch) => {
          const driver = await aligned(batch, advanceMs, sizeMs)
          const sent = await play(driver, list, crashing(driver))
          driver.end(INPUT)
          await driver.run()
          const found = lines(driver.output(OUTPUT, 'StreamFeature')).map((l) =>
            l.split(' ').slice(0, 3).join(' '),
          )
          expect(found.sort()).toEqual(plainLines(sent, sizeMs, advanceMs))
        }),
        { numRuns: 120 },
      )
    },
  )

  test('dead letters stand once each: what is undecodable, and what is late', async () => {
    await fc.assert(
      fc.asyncProperty(steps, batchRecords, async (list, batch) => {
        const straight = await aligned(1_000)
        await play(straight, list, async () => {})
        straight.end(INPUT)
        await straight.run()
        const driver = await aligned(batch)
        const { rubbish } = await play(driver, list, crashing(driver))
        driver.end(INPUT)
        await driver.run()
        const letters = lettersOf(driver)
        expect(
          letters
            .filter((l) => l.code === 'RECORD_UNDECODABLE')
            .map((l) => l.at)
            .sort(),
        ).toEqual(rubbish.sort())
        const text = (all: typeof letters) => all.map((l) => `${l.at} ${l.code}`).sort()
        expect(text(letters)).toEqual(text(lettersOf(straight)))
      }),
      { numRuns: 60 },
    )
  })

  test('every offset is accounted for once, and adds up to what was accepted, late and dead', async () => {
    await fc.assert(
      fc.asyncProperty(steps, batchRecords, async (list, batch) => {
        const driver = await aligned(batch)
        const { records, rubbish } = await play(driver, list, crashing(driver))
        driver.end(INPUT)
        await driver.run()
        const entries: OffsetLedger[] = driver.output('audit.offsets', 'OffsetLedger')
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const own = entries.filter((e) => e.partition === partition)
          own.forEach((e, i) => expect(e.from_offset).toBe(i === 0 ? 0 : own[i - 1]?.to_offset))
        }
        const total = (of: (e: OffsetLedger) => number) => entries.reduce((sum, e) => sum + of(e), 0)
        expect(total((e) => e.records)).toBe(records)
        expect(total((e) => e.dead_letters)).toBe(rubbish.length)
        expect(total((e) => e.accepted + e.late + e.dead_letters)).toBe(records)
      }),
      { numRuns: 60 },
    )
  })

  test('a restart reads again no more than what came since the first record of a window that is still open', async () => {
    await fc.assert(
      fc.asyncProperty(steps, batchRecords, async (list, batch) => {
        const driver = await aligned(batch)
        const { samples } = await play(driver, list, async (kind) => {
          if (kind === 'commit') await driver.run()
        })
        await driver.run()
        let most = 0
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const own = samples.filter((s) => s.partition === partition)
          const nowMs = Math.max(...own.map((s) => s.timeMs))
          const isOpen = (s: Sample) => Math.floor(s.timeMs / SIZE_MS) * SIZE_MS + SIZE_MS + GRACE_MS > nowMs
          const first = own.findIndex(isOpen)
          most += first < 0 ? 0 : own.length - first
        }
        const before = driver.counters.replayed
        await driver.crash()
        driver.pipe(INPUT, 0, 'Flow', flow(NOW, 'late', 1), NOW)
        await driver.run()
        const rubbishAllowed = list.filter((s) => s.kind === 'rubbish').length
        expect(driver.counters.replayed - before).toBeLessThanOrEqual(most + rubbishAllowed)
      }),
      { numRuns: 80 },
    )
  })

  test('a restart writes nothing by itself: no record, no mark, no ledger entry, until there is new input', async () => {
    await fc.assert(
      fc.asyncProperty(steps, batchRecords, async (list, batch) => {
        const driver = await aligned(batch)
        await play(driver, list, crashing(driver))
        await driver.run()
        const everything = () => [
          driver.output(OUTPUT, 'StreamFeature').length,
          driver.marks(OUTPUT),
          driver.output('audit.offsets', 'OffsetLedger').length,
          lettersOf(driver).length,
        ]
        const before = everything()
        for (let restarts = 0; restarts < 3; restarts++) {
          await driver.crash()
          await driver.run()
        }
        expect(everything()).toEqual(before)
      }),
      { numRuns: 60 },
    )
  })

  test('progress never falls, over all lives', async () => {
    await fc.assert(
      fc.asyncProperty(steps, batchRecords, async (list, batch) => {
        const driver = await aligned(batch)
        await play(driver, list, crashing(driver))
        driver.end(INPUT)
        await driver.run()
        const entries: OffsetLedger[] = driver.output('audit.offsets', 'OffsetLedger')
        for (let partition = 0; partition < PARTITIONS; partition++) {
          const marks = entries.filter((e) => e.partition === partition).map((e) => e.watermark_ms)
          expect(marks).toEqual(marks.toSorted((a, b) => a - b))
        }
      }),
      { numRuns: 60 },
    )
  })
})
