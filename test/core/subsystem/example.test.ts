import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { type ManualClock } from '#core/ports'
import type { TestDriver } from '../../../pipelines/core/runtime/testing/test-driver.ts'
import { driveSubsystem } from '../../support/drive-subsystem.ts'
import { poolConfig } from '../../support/example-subsystem/config.ts'
import { example } from '../../support/example-subsystem/index.ts'

const START_MS = Date.UTC(2026, 0, 5)
const WINDOW_MS = 1000
const WINDOWS = 40
const FOLDER = new URL('../../support/example-subsystem/', import.meta.url)

const config = poolConfig({
  windowMs: WINDOW_MS,
  graceMs: 0,
  partitions: 2,
  horizon: 3,
  publishSteps: [1, 3],
  time: 'event',
})

/** A pool that grows from 15 to 93, and one that stays at 15. */
const loadOf = (pool: string, window: number): number => (pool === 'grows' ? 15 + 2 * window : 15)

function feed(driver: TestDriver, clock: ManualClock, window: number): void {
  const startMs = START_MS + window * WINDOW_MS
  clock.set(startMs + WINDOW_MS)
  const state = (timeMs: number, pool: string, load: number) => ({
    event_time_ms: timeMs,
    origin: 'test',
    pipeline_id: pool,
    service_id: 'test',
    current_load: load,
    capacity: 100,
    up: true,
    shard_ids: [],
  })
  for (const partition of [0, 1]) {
    for (const pool of ['grows', 'stays'])
      driver.pipe(
        'telemetry.pipelines',
        partition,
        'PipelineState',
        state(startMs, pool, loadOf(pool, window)),
      )
    // Time goes on by the first event of the next window.
    const next = state(startMs + WINDOW_MS, 'stays', loadOf('stays', window))
    driver.pipe('telemetry.pipelines', partition, 'PipelineState', next)
  }
}

async function run(crashAfter: readonly number[] = []) {
  const partitions = { 'telemetry.pipelines': 2 }
  const { driver, clock } = await driveSubsystem(example, config, { startMs: START_MS, partitions })
  for (let window = 0; window < WINDOWS; window++) {
    feed(driver, clock, window)
    await driver.run()
    if (crashAfter.includes(window)) await driver.crash()
  }
  const decisions = driver.output('decisions.example.scale', 'DataScaleDecision')
  // What compaction leaves: the last record of every key.
  const compacted = new Map(decisions.map((decision) => [decision.entity, decision]))
  return { driver, decisions, compacted }
}

test('a subsystem of less than 150 lines, on core alone, goes from records to decisions that stand', async () => {
  const { driver, decisions, compacted } = await run()
  expect(driver.output('features.example', 'PipelineFeature').length).toBeGreaterThan(WINDOWS)
  const forecasts = driver.output('forecasts.example', 'Forecast')
  expect(forecasts.filter((f) => f.entity === 'grows' && f.horizon_ms === 3000).length).toBeGreaterThan(20)
  expect(forecasts.every((f) => f.q10 <= f.q50 && f.q50 <= f.q90)).toBe(true)
  // The pool that grows is given what its forecast needs, ahead of its load.
  const grown = compacted.get('grows')!
  expect([...compacted.keys()].sort()).toEqual(['grows', 'stays'])
  expect(grown.body.instances * config.perInstance).toBeGreaterThan(loadOf('grows', WINDOWS))
  expect(grown.reason.cost_now).toBeGreaterThan(grown.reason.cost_after)
  expect(decisions.filter((d) => d.entity === 'grows').length).toBeGreaterThan(2)
  // What stays as it is needs fewer the surer its forecast gets, and is not changed for noise.
  expect(compacted.get('stays')!.body.instances).toBe(Math.ceil(loadOf('stays', 0) / config.perInstance))
  expect(decisions.filter((d) => d.entity === 'stays').length).toBeLessThan(WINDOWS / 6)
  for (const { entity, epoch, supersedes } of decisions) {
    const before = decisions.filter((d) => d.entity === entity && d.epoch < epoch)
    expect(supersedes).toBe(before.at(-1)?.decision_id ?? null)
  }
})

test('crashes change no decision: what stands is read back from its topic', async () => {
  const straight = await run()
  const crashed = await run([8, 9, 25])
  expect(crashed.decisions).toEqual(straight.decisions)
})

test('a record that is not valid becomes a dead letter of its topic', async () => {
  const partitions = { 'telemetry.pipelines': 1 }
  const { driver, clock } = await driveSubsystem(example, config, { startMs: START_MS, partitions })
  clock.set(START_MS)
  driver.pipe('telemetry.pipelines', 0, 'PipelineState', {
    event_time_ms: START_MS,
    origin: 'test',
    pipeline_id: '',
    service_id: '',
    current_load: 1,
    capacity: 1,
    up: true,
    shard_ids: [],
  })
  await driver.run()
  const [letter] = driver.output('dlq.telemetry.pipelines', 'DeadLetter')
  expect(letter?.reason).toBe("pipeline_id = '': must name the pool")
})

test('settings that cannot be are refused with field, value and cure', () => {
  expect(() => poolConfig({ perInstance: 0 })).toThrow('example.perInstance = 0')
  expect(() => poolConfig({ publishSteps: [13] })).toThrow('example.publishSteps = [13]')
})

test('the example is small and rests on core and the schemas only', () => {
  const files = readdirSync(FOLDER).map((name) => readFileSync(new URL(name, FOLDER), 'utf8'))
  expect(files.reduce((lines, text) => lines + text.trimEnd().split('\n').length, 0)).toBeLessThan(150)
  const imported = files.flatMap((text) => [...text.matchAll(/from '([^']+)'/g)].map(([, from]) => from))
  expect(imported.filter((from) => !/^(#core\/|#schemas$|\.\/)/.test(from ?? ''))).toEqual([])
})
