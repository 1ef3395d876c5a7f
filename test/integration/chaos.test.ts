import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, inject, test } from 'vitest'
import { runChaos } from '../../jobs/chaos/run.ts'
import { type ChaosPlan, longPlan, shortPlan } from '../../jobs/chaos/schedule.ts'
import { failOnLeaks } from '../support/leaks.ts'

failOnLeaks()

/** Each part once, in half a minute. */
const PLAN: ChaosPlan = {
  seed: 11,
  slots: ['w0'],
  faults: [
    { atMs: 5000, kind: 'worker', slot: 'w0', downMs: 300 },
    { atMs: 11_000, kind: 'kafka', slot: '', downMs: 500 },
    { atMs: 17_000, kind: 'clickhouse', slot: '', downMs: 800 },
    { atMs: 18_000, kind: 'worker', slot: 'w0', downMs: 0 },
  ],
  loadMs: 25_000,
}

test('kill -9 of worker, Kafka and ClickHouse under load: nothing lost, duplicated or wrong', async (context) => {
  if (inject('stackMissing') !== '') context.skip(inject('stackMissing'))
  const dataDir = mkdtempSync(join(tmpdir(), 'forestall-chaos-test-'))
  const events: string[] = []
  const result = await runChaos({
    plan: PLAN,
    dataDir,
    partsDir: join(import.meta.dirname, '../../.forestall/parts'),
    onEvent: (text) => events.push(text),
  })
  await context.annotate(events.join('\n'))
  expect(result).toMatchObject({
    kills: { worker: 2, kafka: 1, clickhouse: 1, freeze: 0 },
    unknown: 0,
    lost: 0,
    duplicated: 0,
    wrong: 0,
    details: [],
    sound: true,
  })
  expect(result.records).toBeGreaterThan(10_000)
  expect(result.windows).toBeGreaterThan(150)
  rmSync(dataDir, { recursive: true, force: true })
}, 300_000)

test('a seed gives the same schedule again; every part is killed', () => {
  expect(shortPlan(3)).toEqual(shortPlan(3))
  expect(shortPlan(3)).not.toEqual(shortPlan(4))
  expect(new Set(shortPlan(5).faults.map((f) => f.kind))).toEqual(new Set(['worker', 'kafka', 'clickhouse']))
  const long = longPlan(9, 200)
  expect(long.faults.filter((f) => f.kind !== 'freeze')).toHaveLength(200)
  expect(long.faults.some((f) => f.kind === 'freeze')).toBe(true)
})
