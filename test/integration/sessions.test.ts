import { expect, test } from 'vitest'
import { createCodec } from '#core/codec'
import { mulberry32 } from '#core/ports'
import type { Flow } from '#schemas'
import { createMemoryRegistry } from '../../pipelines/core/runtime/testing/memory-registry.ts'
import { flow } from '../core/runtime/fixtures.ts'
import { flowSessions, plainSessions, sessionLines, type Shape } from '../core/runtime/sessions-case.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { throughRestart, topologyOnKafka } from '../support/topology-on-kafka.ts'

failOnLeaks()

const SHAPE: Shape = { gapMs: 1000, graceMs: 300, maxLengthMs: 5000 }
const RECORDS = 4000
const START_MS = Date.UTC(2026, 0, 5)
const OUTPUT = 'features.streams'
const kafka = topologyOnKafka({
  topology: flowSessions(SHAPE, 2),
  codec: createCodec(createMemoryRegistry()),
  records: { [OUTPUT]: 'StreamFeature' },
})

/** Keys that are busy all the time, and others with pauses; up to a quarter of a second out of order. */
function flows(): Flow[] {
  const random = mulberry32(5)
  return Array.from({ length: RECORDS }, (_, i) => {
    const at = START_MS + i * 10 - (random.uint32() % 250)
    const key = random.uint32() % 4 === 0 ? random.uint32() % 3 : 3 + (random.uint32() % 40)
    return flow(at, `s${key}`, random.uint32() % 1000, random.uint32() % 9)
  })
}

test('sessions over all partitions are those computed offline, also after a restart with sessions open', async () => {
  const all = flows()
  const { replayed } = await throughRestart(kafka, all)
  const rows = await kafka.read(OUTPUT, 'StreamFeature')
  expect(sessionLines(rows)).toEqual(plainSessions(all, SHAPE))
  expect(
    rows.filter((row) => row.window_end_ms - row.window_start_ms > SHAPE.maxLengthMs / 2).length,
  ).toBeGreaterThan(10)
  expect(replayed).toBeGreaterThan(0)
})
