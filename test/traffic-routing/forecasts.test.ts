import { describe, expect, test } from 'vitest'
import type { Forecast, Risk, Scenario } from '#schemas'
import { manualClock } from '#core/ports'
import { partitionOf } from '#core/runtime'
import { featuresTopology, forecastsTopology, type TrafficConfig } from '#traffic-routing'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'
import { CLOCK, flowOf, probeOf, START_MS, tinyConfig } from './chain.ts'

const partitions = {
  'telemetry.flows': 1,
  'telemetry.regions': 1,
  'features.streams': 2,
  'features.regions': 2,
}
const LEVELS = ['q025', 'q10', 'q50', 'q90', 'q975', 'q99'] as const

const wave = (w: number, phase: number): number =>
  Math.round(400 + 100 * Math.sin(w / 4 + phase) + 60 * Math.sin(w * 2.1 + phase))

/** One flow per stream and window, none of a>web where it `isSilent`; one probe of `east`. */
async function step(driver: TestDriver, w: number, isSilent = false): Promise<void> {
  const startMs = START_MS + w * 1000
  const send = (stream: string, bytes: number, atMs = startMs) =>
    driver.pipe('telemetry.flows', 0, 'Flow', flowOf({ event_time_ms: atMs, stream, bytes }), atMs)
  if (!isSilent) send('a>web', wave(w, 0))
  send('b>api', wave(w, 2))
  send(CLOCK, 0, startMs + 1000)
  for (const atMs of [startMs, startMs + 1000]) {
    const probe = probeOf({ event_time_ms: atMs, rtt_ms: 20 + (w % 5) })
    driver.pipe('telemetry.regions', 0, 'RegionProbe', probe, atMs)
  }
  await driver.run()
}

const newDriver = (config: TrafficConfig = tinyConfig()): Promise<TestDriver> =>
  createTestDriver([featuresTopology(config), forecastsTopology(config)], {
    partitions,
    clock: manualClock(START_MS),
  })

async function run(windows: number, config?: TrafficConfig): Promise<TestDriver> {
  const driver = await newDriver(config)
  for (let w = 0; w < windows; w++) await step(driver, w)
  return driver
}

interface Outputs {
  forecasts: Forecast[]
  scenarios: Scenario[]
  risks: Risk[]
}
const outputsOf = (driver: TestDriver): Outputs => ({
  forecasts: driver.output('forecasts.traffic', 'Forecast'),
  scenarios: driver.output('scenarios.traffic', 'Scenario'),
  risks: driver.output('risks.traffic', 'Risk'),
})

test('the streams of these tests live in different partitions', () => {
  expect(partitionOf(Buffer.from('a>web'), 2)).not.toBe(partitionOf(Buffer.from('b>api'), 2))
})

describe('forecasts', () => {
  test('quantiles are finite, not negative and ascend, for each step that is published', async () => {
    const { forecasts } = outputsOf(await run(50))
    expect(forecasts.length).toBeGreaterThan(300)
    for (const f of forecasts) {
      const values = LEVELS.map((level) => f[level])
      for (const value of values) expect(Number.isFinite(value) && value >= 0).toBe(true)
      expect(values.toSorted((a, b) => a - b)).toEqual(values)
      expect(f.target_ms - f.issued_at_ms).toBe(f.horizon_ms)
    }
    expect(new Set(forecasts.map((f) => f.horizon_ms))).toEqual(new Set([1000, 6000, 12_000]))
    const metrics = new Set(forecasts.map((f) => `${f.entity} ${f.metric}`))
    for (const series of ['a>web bytes_per_second', 'east rtt_ms', 'east usable_bytes_per_second'])
      expect(metrics).toContain(series)
  })

  test('a stream that is silent counts as zero, window by window', async () => {
    const driver = await newDriver()
    for (let w = 0; w < 61; w++) await step(driver, w, w >= 30 && w < 60)
    const farthest = outputsOf(driver).forecasts.filter(
      (f) => f.entity === 'a>web' && f.horizon_ms === 12_000,
    )
    // Nothing is published about a stream that is not there; when it is back, its forecast knows of the silence.
    const silent = farthest.filter((f) => f.issued_at_ms > START_MS + 30_000)
    expect(silent.map((f) => f.issued_at_ms)).toEqual([START_MS + 61_000])
    const before = farthest.findLast((f) => f.issued_at_ms === START_MS + 30_000)!
    expect(silent[0]!.q025).toBeLessThan(0.5 * before.q025)
  })

  test('the first window of a series, in which it began somewhere, is left out', async () => {
    const driver = await newDriver()
    const startMs = START_MS
    driver.pipe('telemetry.flows', 0, 'Flow', flowOf({ bytes: 1, event_time_ms: startMs + 999 }), startMs)
    driver.pipe(
      'telemetry.flows',
      0,
      'Flow',
      flowOf({ stream: CLOCK, event_time_ms: startMs + 1000 }),
      startMs,
    )
    await driver.run()
    expect(outputsOf(driver).forecasts).toEqual([])
    for (let w = 1; w < 30; w++) await step(driver, w)
    const { scenarios } = outputsOf(driver)
    const draws = scenarios.filter((s) => s.entity === 'a>web').flatMap((s) => s.draws)
    expect(draws.length).toBeGreaterThan(0)
    expect(Math.max(...draws)).toBeLessThan(3000)
  })
})

describe('joint scenarios', () => {
  test('draw k of every stream comes from the same origin, whatever its partition', async () => {
    const { scenarios } = outputsOf(await run(60))
    const byTime = Map.groupBy(
      scenarios.filter((s) => s.entity !== CLOCK),
      (s) => s.issued_at_ms,
    )
    expect(byTime.size).toBeGreaterThan(20)
    for (const [issuedMs, [one, other]] of byTime) {
      expect(one!.entity).not.toBe(other!.entity)
      expect(one!.origins).toEqual(other!.origins)
      expect(one!.draws).toHaveLength(one!.origins.length)
      // No forecast looks ahead: the errors drawn from are known by then.
      for (const origin of one!.origins) expect(origin).toBeLessThanOrEqual(issuedMs - 12_000)
      for (const draw of [...one!.draws, ...other!.draws])
        expect(Number.isFinite(draw) && draw >= 0).toBe(true)
    }
  })

  test('a young series repeats the errors it has, all of them equally often', async () => {
    const { scenarios } = outputsOf(await run(30))
    const last = scenarios.findLast((s) => s.entity === 'a>web')!
    const counts = [...Map.groupBy(last.origins, (origin) => origin).values()].map((same) => same.length)
    expect(counts.length).toBeGreaterThan(1)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    expect(Math.min(...last.origins)).toBeGreaterThan(START_MS + 1000)
    expect(new Set(last.draws).size).toBe(counts.length)
    expect(last.draws).toEqual(last.origins.map((origin) => last.draws[last.origins.indexOf(origin)]))
  })
})

describe('risks', () => {
  test('lie in 0..1, say why, and only streams of the network and regions have one', async () => {
    const { risks } = outputsOf(await run(40))
    for (const r of risks) {
      expect(r.probability).toBeGreaterThanOrEqual(0)
      expect(r.probability).toBeLessThanOrEqual(1)
      expect(r.drivers.length).toBeGreaterThan(0)
      expect(r.q10 <= r.q50 && r.q50 <= r.q90).toBe(true)
    }
    expect(new Set(risks.map((r) => `${r.entity} ${r.metric}`))).toEqual(
      new Set(['a>web bytes_per_second', 'b>api bytes_per_second', 'east rtt_ms']),
    )
  })

  test('a lower limit is a higher risk', async () => {
    const lastRisk = async (limit: number) =>
      outputsOf(await run(40, tinyConfig({ streamLimits: { 'a>web': limit } }))).risks.findLast(
        (r) => r.entity === 'a>web',
      )!
    const [low, high] = [await lastRisk(350), await lastRisk(5000)]
    expect(low.limit).toBe(350)
    expect(low.probability).toBeGreaterThan(0.8)
    expect(high.probability).toBeLessThan(0.1)
  })
})

describe('restart', () => {
  test.each([
    ['before the first snapshot', 20],
    ['after a snapshot', 75],
  ])('a crash %s changes no output', async (_when, crashAt) => {
    const straight = await run(90)
    const crashed = await newDriver()
    for (let w = 0; w < 90; w++) {
      await step(crashed, w)
      if (w === crashAt) await crashed.crash()
    }
    expect(outputsOf(crashed)).toEqual(outputsOf(straight))
  })
})
