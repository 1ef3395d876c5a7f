import { describe, expect, test } from 'vitest'
import type { CalendarEvent, Forecast, Model, Risk } from '#schemas'
import {
  encodeNet,
  fillableTables,
  type FillableTables,
  type ForecastTables,
  modelKey,
} from '#core/forecasting'
import { manualClock } from '#core/ports'
import { featuresTopology, forecastsTopology } from '#traffic-routing'
import { createTestDriver, type TestDriver } from '../../pipelines/core/runtime/testing/test-driver.ts'
import { CLOCK, flowOf, probeOf, START_MS, tinyConfig } from './chain.ts'

const partitions = {
  'telemetry.flows': 1,
  'telemetry.regions': 1,
  'features.streams': 2,
  'features.regions': 2,
}
const CONFIG = tinyConfig({ horizon: 12, publishSteps: [1, 6, 12] })

const wave = (w: number): number => Math.round(200 + 20 * Math.sin(w / 4) + 7 * Math.sin(w * 2.1))

const asTables = (tables: FillableTables): ForecastTables => ({ ...tables, ready: () => Promise.resolve() })

async function newDriver(tables: ForecastTables): Promise<TestDriver> {
  return createTestDriver([featuresTopology(CONFIG), forecastsTopology(CONFIG, tables)], {
    partitions,
    clock: manualClock(START_MS),
  })
}

async function run(
  driver: TestDriver,
  from: number,
  to: number,
  streams = ['a>web', 'b>api'],
): Promise<void> {
  for (let w = from; w < to; w++) {
    const startMs = START_MS + w * 1000
    const send = (stream: string, bytes: number, atMs: number) =>
      driver.pipe('telemetry.flows', 0, 'Flow', flowOf({ event_time_ms: atMs, stream, bytes }), atMs)
    for (const stream of streams) send(stream, wave(w), startMs)
    send(CLOCK, 0, startMs + 1000)
    for (const atMs of [startMs, startMs + 1000])
      driver.pipe('telemetry.regions', 0, 'RegionProbe', probeOf({ event_time_ms: atMs, rtt_ms: 20 }), atMs)
    await driver.run()
  }
}

const forecastsOf = (driver: TestDriver, entity = 'a>web'): Forecast[] =>
  driver.output('forecasts.traffic', 'Forecast').filter((f) => f.entity === entity)

const championOf = (over: Partial<Model>): Model => ({
  scope: 'default',
  entity: 'a>web',
  metric: 'bytes_per_second',
  kind: 'series',
  version: 7,
  model: 'naive',
  step_ms: 1000,
  horizon: 12,
  seasons: [30],
  trained_from_ms: START_MS,
  trained_through_ms: START_MS,
  points: 100,
  fitted_at_ms: START_MS,
  state: Buffer.alloc(0),
  effect_scale: 'log',
  effects: [
    {
      kind: 'match',
      scope: '*',
      lead_ms: 0,
      decay_ms: 0,
      cuts: [0, 1, 0],
      occurrences: 5,
      agreeing: 4,
      centre: [Math.log(4.1), Math.log(4.1), 0, 0],
      spread: [0.1, 0.1, 0, 0],
      widen: 1,
    },
  ],
  evidence: {
    from_ms: START_MS,
    to_ms: START_MS,
    origins: 1,
    mase: 0.5,
    pinball: 0.2,
    coverage_95: 0.95,
    msis: 5,
    seasonal_naive_mase: 1,
    candidates: [],
    previous: '',
    previous_mase: null,
    margin: 0.05,
  },
  features: [],
  profile: [],
  spread: 0.1,
  similar_to: '',
  ...over,
})

const MATCH_FROM = START_MS + 46_000
const matchOf = (over: Partial<CalendarEvent> = {}): CalendarEvent => ({
  event_id: 'final',
  revision: 0,
  kind: 'match',
  scope: '*',
  summary: 'France v Brazil',
  issued_at_ms: START_MS + 30_000,
  valid_from_ms: MATCH_FROM,
  valid_to_ms: MATCH_FROM + 10_000,
  severity: 0,
  source: 'test',
  cancelled: false,
  geometry: null,
  ...over,
})

describe('champions', () => {
  test('are followed from the round in which they are there, and forecasts say so', async () => {
    const tables = fillableTables()
    const driver = await newDriver(asTables(tables))
    await run(driver, 0, 30)
    expect(forecastsOf(driver).some((f) => f.model_version.endsWith('/7'))).toBe(false)
    tables.putModel(modelKey('default', 'a>web', 'bytes_per_second'), championOf({}))
    await run(driver, 30, 33)
    const last = forecastsOf(driver).at(-1)!
    expect(last.model).toBe('naive')
    expect(last.model_version).toMatch(/^naive\/\d+\/7$/)
    expect(forecastsOf(driver, 'b>api').at(-1)!.model_version).not.toMatch(/\/7$/)
  })

  test('that are networks are followed once the network is there, also over a crash after a snapshot', async () => {
    const name = 'net-mlp.test'
    const layout = { id: 'mlp.test', window: 30, seasons: [30], horizon: 12, levels: [0.5] }
    // Without corrections it says what was a season ago.
    const weights = {
      units: 12,
      activation: 'linear' as const,
      kernel: new Float32Array(360),
      bias: new Float32Array(12),
    }
    const network = championOf({
      entity: '*',
      metric: '*',
      kind: 'network',
      model: name,
      state: Buffer.from(encodeNet({ layout, dense: [weights] })),
    })
    const tables = fillableTables()
    const driver = await newDriver(asTables(tables))
    tables.putModel(
      modelKey('default', 'a>web', 'bytes_per_second'),
      championOf({ model: name, effects: [] }),
    )
    await run(driver, 0, 70)
    expect(forecastsOf(driver).at(-1)!.model).not.toBe(name)
    tables.putModel(modelKey('default', '*', name), network)
    await run(driver, 70, 130)
    const told = forecastsOf(driver).at(-1)!
    expect(told.model).toBe(name)
    expect(told.q50 / told.seasonal_naive!).toBeCloseTo(1, 0)
    await driver.crash()
    await run(driver, 130, 134)
    expect(forecastsOf(driver).at(-1)).toMatchObject({ model: name, issued_at_ms: START_MS + 134_000 })
  })

  test('give a new stream something to start from', async () => {
    const tables = fillableTables()
    const profile = Array.from({ length: 30 }, (_, i) => (i < 15 ? 0.5 : -0.5))
    tables.putModel('d', championOf({ entity: 'z>web', profile, effects: [] }))
    const driver = await newDriver(asTables(tables))
    await run(driver, 0, 6)
    // The season borrowed shows in the medians: they step down within the half season that is forecast.
    const told = forecastsOf(driver).filter((f) => f.issued_at_ms === START_MS + 5000)
    const [first, , last] = told.sort((a, b) => a.horizon_ms - b.horizon_ms)
    expect(last!.horizon_ms).toBe(12_000)
    expect(last!.q50 / first!.q50).toBeLessThan(0.6)
  })

  test('every forecast carries the seasonal naive and its scale', async () => {
    const driver = await newDriver(asTables(fillableTables()))
    await run(driver, 0, 45)
    const told = forecastsOf(driver).filter((f) => f.issued_at_ms === START_MS + 44_000)
    for (const f of told) {
      const window = (f.target_ms - START_MS) / 1000 - 1
      expect(f.seasonal_naive).toBe(wave(window - 30))
      expect(f.scale).toBeGreaterThan(0)
    }
    expect(told).toHaveLength(3)
  })
})

describe('the calendar', () => {
  const newTables = (event: CalendarEvent | null): ForecastTables => {
    const tables = fillableTables()
    for (const entity of ['a>web', 'b>api'])
      tables.putModel(modelKey('default', entity, 'bytes_per_second'), championOf({ entity }))
    if (event) tables.putEvent(event.event_id, event)
    return asTables(tables)
  }

  test('raises forecasts and risks of what it covers, in words, from the moment it was issued and not before', async () => {
    const [without, withMatch] = await Promise.all([
      newDriver(newTables(null)),
      newDriver(newTables(matchOf())),
    ])
    await Promise.all([run(without, 0, 42), run(withMatch, 0, 42)])
    const isEarly = (f: { issued_at_ms: number }) => f.issued_at_ms < START_MS + 30_000
    expect(forecastsOf(withMatch).filter(isEarly)).toEqual(forecastsOf(without).filter(isEarly))
    const at = (driver: TestDriver, issued: number, target: number) =>
      forecastsOf(driver).find(
        (f) => f.issued_at_ms === START_MS + issued && f.target_ms === START_MS + target,
      )!
    const raised = at(withMatch, 42_000, 48_000)
    const calm = at(without, 42_000, 48_000)
    expect(raised.q50 / calm.q50).toBeGreaterThan(3.8)
    expect(raised.q50 / calm.q50).toBeLessThan(4.4)
    expect(at(withMatch, 42_000, 43_000)).toEqual(at(without, 42_000, 43_000))
    const risk = withMatch
      .output('risks.traffic', 'Risk')
      .findLast((r: Risk) => r.entity === 'a>web' && r.issued_at_ms === START_MS + 42_000)!
    expect(risk.probability).toBeGreaterThan(0.5)
    expect(risk.drivers.join('; ')).toMatch(/match in 4 s: France v Brazil: \+310 %, 4 of 5 earlier ones/)
  })

  test('of other entities, cancelled or issued later changes nothing', async () => {
    const plain = await newDriver(newTables(null))
    await run(plain, 0, 42)
    for (const event of [
      matchOf({ scope: 'c>*' }),
      matchOf({ cancelled: true }),
      matchOf({ issued_at_ms: START_MS + 60_000 }),
    ]) {
      const driver = await newDriver(newTables(event))
      await run(driver, 0, 42)
      expect(forecastsOf(driver)).toEqual(forecastsOf(plain))
    }
  })

  test('and champions: a crash changes no output', async () => {
    const straight = await newDriver(newTables(matchOf()))
    await run(straight, 0, 56)
    const crashed = await newDriver(newTables(matchOf()))
    for (const [from, to] of [
      [0, 20],
      [20, 47],
      [47, 56],
    ] as const) {
      await run(crashed, from, to)
      await crashed.crash()
    }
    expect(forecastsOf(crashed)).toEqual(forecastsOf(straight))
  })
})
