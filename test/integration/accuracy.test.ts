import { beforeAll, expect, test } from 'vitest'
import type { Forecast, RecordByName, RecordName } from '#schemas'
import { LEVELS, scoreSheet } from '#core/forecasting'
import { mulberry32 } from '#core/ports'
import type { Sink } from '#core/warehouse'
import { type CliResult, runCli } from '../jobs/run-cli.ts'
import { failOnLeaks } from '../support/leaks.ts'
import { replayScope } from '../support/replay-scope.ts'
import { stackEnv } from '../support/stack-env.ts'
import { uniqueName } from '../support/unique.ts'

failOnLeaks()

const REPLAY = uniqueName('accuracy').replaceAll('_', '-')
const START = Date.UTC(2026, 0, 5)
const WINDOWS = 60
const SCALE = 4
const RECORDS: readonly (readonly [topic: string, record: RecordName])[] = [
  ['forecasts.traffic', 'Forecast'],
  ['features.streams', 'StreamFeature'],
  ['forecasts.data', 'Forecast'],
  ['features.services', 'ServiceFeature'],
  ['alerts.forecasts', 'ForecastAlert'],
  ['models', 'Model'],
  ['events.calendar', 'CalendarEvent'],
]
const env = stackEnv()
const scope = replayScope(REPLAY, RECORDS)
const { warehouse } = scope
const random = mulberry32(5)
/** What each stream carried; `quiet` carries nothing in every third window, and has no feature then. */
const carried = (stream: string, w: number): number => (stream === 'quiet' && w % 3 === 0 ? 0 : 100 + (w % 7))

/** What a stream did in window w. */
const featureOf = (stream: string, w: number): RecordByName['StreamFeature'] => ({
  stream,
  window_start_ms: START + w * 1000,
  window_end_ms: START + (w + 1) * 1000,
  records: 1,
  bytes: carried(stream, w),
  packets: 1,
  bytes_per_second: carried(stream, w),
  packet_bytes_mean: 1,
  packet_bytes_p50: 1,
  packet_bytes_p95: 1,
  tcp_share: 1,
  udp_share: 0,
  sources: 1,
  destinations: 1,
  incomplete: false,
  ring_bytes: [],
})

let sink: Sink

const cli = (...args: string[]): Promise<CliResult> => runCli([...args, '--replay-id', REPLAY], env)
const jsonOf = ({ stdout }: CliResult) =>
  JSON.parse(stdout.trim().split('\n').at(-1)!) as Record<string, unknown> & {
    rows: Record<string, number>[]
  }

/** Forecast of window w (its end) issued one window before, wrong by `error`. */
function forecastOf(stream: string, w: number, error: number, version: string): Forecast {
  const median = carried(stream, w) + error
  const target = START + (w + 1) * 1000
  return {
    scope: 'default',
    entity: stream,
    metric: 'bytes_per_second',
    issued_at_ms: target - 1000,
    target_ms: target,
    horizon_ms: 1000,
    q025: median - 6,
    q10: median - 4,
    q50: median,
    q90: median + 4,
    q975: median + 6,
    q99: median + 7,
    model: 'blend-60',
    model_version: version,
    seasonal_naive: carried(stream, w) + 3,
    scale: SCALE,
  }
}

const errors = new Map<string, number[]>()

beforeAll(async () => {
  sink = await scope.startSink()
  const forecasts: [string, Forecast][] = []
  const features: [string, RecordByName['StreamFeature']][] = []
  for (const [stream, size] of [
    ['good', 2],
    ['bad', 16],
    ['quiet', 2],
  ] as const) {
    const own: number[] = []
    errors.set(stream, own)
    for (let w = 0; w < WINDOWS; w++) {
      const error = size * (random.uniform() - 0.5) * 2
      own.push(error)
      forecasts.push([stream, forecastOf(stream, w, error, 'v1')])
      if (carried(stream, w) > 0) features.push([stream, featureOf(stream, w)])
    }
    // Of a window that is not over yet nothing is said.
    forecasts.push([stream, forecastOf(stream, WINDOWS + 5, 0, 'v1')])
  }
  await scope.write('features.streams', 'StreamFeature', features)
  await scope.write('forecasts.traffic', 'Forecast', forecasts)
  await sink.drained()
  // Rows of the same records once more, as after a restart that lost track of what was written.
  for (const table of ['forecasts_traffic', 'features_streams'])
    await warehouse.command(`INSERT INTO ${table} SELECT * FROM ${table}`)
})

test('every forecast is scored once against what happened, however often it was delivered; silence counts as zero', {
  timeout: 240_000,
}, async () => {
  const result = await cli('accuracy', '--json')
  const { rows, ...summary } = jsonOf(result)
  const [stored] = await warehouse.query<{ n: number }>('SELECT count() AS n FROM forecasts_traffic')
  expect(stored!.n).toBe(2 * 3 * (WINDOWS + 1))
  expect(summary).toMatchObject({ series: 3, forecasts: 3 * WINDOWS, worse: 1 })
  for (const row of rows) {
    const stream = String(row['entity'])
    const sheet = scoreSheet()
    errors.get(stream)!.forEach((error, w) => {
      const f = forecastOf(stream, w, error, 'v1')
      const quantiles = Float64Array.of(f.q025, f.q10, f.q50, f.q90, f.q975, f.q99)
      expect(quantiles).toHaveLength(LEVELS)
      sheet.add(quantiles, [carried(stream, w)])
    })
    const expected = sheet.result(SCALE)
    expect(row['forecasts']).toBe(WINDOWS)
    expect(row['mase']).toBeCloseTo(expected.mase!, 9)
    expect(row['scaled_pinball']).toBeCloseTo(expected.pinball!, 9)
    expect(row['msis']).toBeCloseTo(expected.msis!, 9)
    expect(row['coverage_95']).toBeCloseTo(expected.coverage95!, 9)
    expect(row['seasonal_naive_mase']).toBeCloseTo(3 / SCALE, 9)
  }
  expect(rows[0]!['entity']).toBe('bad')
  // Worse than the seasonal naive is a failure that a monitor can see.
  expect(result.code).toBe(1)
})

test('a model that is worse than the seasonal naive raises an alert, once; it is withdrawn when it is over', {
  timeout: 240_000,
}, async () => {
  const first = await cli('accuracy', '--alert')
  expect(first.stderr).toMatch('alerts: 1 raised, 0 withdrawn')
  const again = await cli('accuracy', '--alert')
  expect(again.stderr).toMatch('alerts: 0 raised, 0 withdrawn')
  await sink.drained()
  const alerts = await warehouse.query<{ entity: string; message: string; tombstone: boolean }>(
    'SELECT entity, message, tombstone FROM alerts_forecasts FINAL',
  )
  expect(alerts).toHaveLength(1)
  expect(alerts[0]).toMatchObject({ entity: 'bad', tombstone: false })
  expect(alerts[0]!.message).toMatch(/% worse than the seasonal naive/)
  // Only what was issued since counts: nothing is worse there, and too little to say.
  const later = await cli(
    'accuracy',
    '--alert',
    '--since',
    new Date(START + (WINDOWS - 10) * 1000).toISOString(),
  )
  expect(later.stderr).toMatch('alerts: 0 raised, 1 withdrawn')
  expect(later.code).toBe(0)
  expect(later.stdout).toMatch('no model is worse than the seasonal naive')
})

test('forecasts of the work of services and their segments are scored in the same way', {
  timeout: 240_000,
}, async () => {
  const windows = 40
  const work = (segment: number, w: number): number => 10 * (segment + 1) + (w % 4)
  const total = (w: number): number => work(0, w) + work(1, w)
  const feature = (service: string, w: number): RecordByName['ServiceFeature'] => ({
    service_id: service,
    window_start_ms: START + w * 1000,
    window_end_ms: START + (w + 1) * 1000,
    queries: 2,
    work: total(w),
    duration_ms_mean: 1,
    duration_ms_p95: 1,
    failed: 0,
    entities: 2,
    segment_work: [work(0, w), work(1, w)],
    incomplete: false,
  })
  const forecast = (entity: string, w: number, median: number): Forecast => ({
    ...forecastOf('good', w, 0, 'pooled-1'),
    entity,
    metric: 'work',
    q025: median - 6,
    q10: median - 4,
    q50: median,
    q90: median + 4,
    q975: median + 6,
    q99: median + 7,
    seasonal_naive: median + 2,
  })
  const each = Array.from({ length: windows }, (_, w) => w)
  // In every other window, `rare` does nothing; beyond the last one, nothing has been seen of anybody.
  const features = each.flatMap((w) => [
    ['orders', feature('orders', w)] as [string, RecordByName['ServiceFeature']],
    ...(w % 2 === 0 ? [['rare', feature('rare', w)] as [string, RecordByName['ServiceFeature']]] : []),
  ])
  const forecasts = [...each, windows + 3].flatMap((w): [string, Forecast][] => [
    ['orders', forecast('orders', w, total(w) + 1)],
    ['orders/000', forecast('orders/000', w, work(0, w) + 2)],
    ['orders/001', forecast('orders/001', w, work(1, w) + 3)],
    ['rare/001', forecast('rare/001', w, 0)],
  ])
  await scope.write('features.services', 'ServiceFeature', features)
  await scope.write('forecasts.data', 'Forecast', forecasts)
  await sink.drained()
  const { rows, bySubsystem } = jsonOf(await cli('accuracy', '--json', '--worst', '100'))
  const own = new Map(rows.map((row) => [String(row['entity']), row]))
  for (const [entity, error] of [
    ['orders', 1],
    ['orders/000', 2],
    ['orders/001', 3],
  ] as const)
    expect(own.get(entity)).toMatchObject({
      subsystem: 'data-sharding',
      horizon_ms: 1000,
      model_version: 'pooled-1',
      forecasts: windows,
      mase: error / SCALE,
      coverage_95: 1,
      msis: 12 / SCALE,
    })
  const rare = each.reduce((sum, w) => sum + (w % 2 === 0 ? work(1, w) : 0), 0) / windows
  expect(own.get('rare/001')).toMatchObject({ forecasts: windows, mase: rare / SCALE })
  expect(bySubsystem).toMatchObject({
    'data-sharding': { series: 4, forecasts: 4 * windows },
    'traffic-routing': { series: 3, forecasts: 3 * WINDOWS },
  })
})

test('each version of a model is scored by itself when asked', { timeout: 240_000 }, async () => {
  const row = forecastOf('good', 3, 1, 'v2')
  await scope.write('forecasts.traffic', 'Forecast', [
    ['good', { ...row, issued_at_ms: row.issued_at_ms - 1 }],
  ])
  await sink.drained()
  const { rows } = jsonOf(await cli('accuracy', '--versions', '--json'))
  const good = rows.filter((r) => String(r['entity']) === 'good')
  expect(good.map((r) => [r['model_version'], r['forecasts']])).toEqual(
    expect.arrayContaining([
      ['v1', WINDOWS],
      ['v2', 1],
    ]),
  )
})
